"""The main job, by the client that openapi-python-client generated."""

from carteiro_client import AuthenticatedClient
from carteiro_client.api.accounts import create_account, delete_account
from carteiro_client.api.bots import send_contact, send_event, send_message
from carteiro_client.api.webhooks import (
    change_webhook,
    create_webhook,
    delete_webhook,
    get_item,
    list_attempts,
    list_dead,
    list_held,
    list_webhooks,
    read_replay,
    read_webhook,
    replay_dead,
    rotate_secret,
    test_webhook,
)
from carteiro_client.models import (
    AccountRequest,
    Item,
    ItemType,
    ListAttemptsOutcome,
    Problem,
    ReplayRequest,
    RotationRequest,
    WebhookPatch,
    WebhookRequest,
)

from main_job import Refused, run

SENDS = {"message": send_message, "event": send_event, "contact": send_contact}


class Client:
    def __init__(self, api, key):
        self.client = AuthenticatedClient(base_url=api, token=key, raise_on_unexpected_status=True)

    def call(self, operation, *path, **named):
        answer = operation.sync(*path, client=self.client, **named)
        if isinstance(answer, Problem):
            raise Refused(int(answer.status), str(answer.type_), [error.field for error in answer.errors or []])
        return answer

    def create_account(self, name):
        account = self.call(create_account, body=AccountRequest(name=name))
        return account.id, account.key

    def delete_account(self, account):
        self.call(delete_account, account)

    def create_webhook(self, url, items, threshold):
        body = WebhookRequest.from_dict({"url": url, "items": items, "threshold": threshold, "log": "all"})
        webhook = self.call(create_webhook, body=body)
        return webhook.id, webhook.secret

    def webhook_ids(self):
        return [webhook.id for webhook in self.call(list_webhooks).data]

    def change_webhook(self, webhook, **changes):
        return self.call(change_webhook, webhook, body=WebhookPatch(**changes))

    def delete_webhook(self, webhook):
        self.call(delete_webhook, webhook)

    def status(self, webhook, item_type):
        return self.call(read_webhook, webhook).status[item_type]

    def send(self, item_type, item):
        return self.call(SENDS[item_type], "bot", body=Item.from_dict(item)).id

    def item_states(self, item):
        return [one.state for one in self.call(get_item, item).webhooks]

    def attempts(self, webhook, outcome):
        found = self.call(list_attempts, webhook, outcome=ListAttemptsOutcome(outcome)).data
        return [(one.outcome, one.status, one.became) for one in found]

    def held(self, webhook, item_type):
        return [one.id for one in self.call(list_held, webhook, type_=ItemType(item_type)).data]

    def dead(self, webhook, item_type):
        return [one.id for one in self.call(list_dead, webhook, type_=ItemType(item_type)).data]

    def replay(self, webhook, item_type):
        return self.call(replay_dead, webhook, body=ReplayRequest(type_=ItemType(item_type))).id

    def read_replay(self, webhook, replay):
        return self.call(read_replay, webhook, replay)

    def test(self, webhook):
        result = self.call(test_webhook, webhook)
        return result.outcome, result.status

    def rotate(self, webhook):
        return self.call(rotate_secret, webhook, body=RotationRequest(overlap_seconds=0)).secret


if __name__ == "__main__":
    run(Client)
