"""The main job, by the client that openapi-generator generated."""

import carteiro_client
from carteiro_client.models.account_request import AccountRequest
from carteiro_client.models.item import Item
from carteiro_client.models.replay_request import ReplayRequest
from carteiro_client.models.rotation_request import RotationRequest
from carteiro_client.models.webhook_patch import WebhookPatch
from carteiro_client.models.webhook_request import WebhookRequest

from main_job import Refused, run


class Client:
    def __init__(self, api, key):
        client = carteiro_client.ApiClient(carteiro_client.Configuration(host=api, access_token=key))
        self.accounts = carteiro_client.AccountsApi(client)
        self.bots = carteiro_client.BotsApi(client)
        self.webhooks = carteiro_client.WebhooksApi(client)

    def call(self, operation, *path, **named):
        try:
            return operation(*path, **named)
        except carteiro_client.ApiException as error:
            problem = error.data
            raise Refused(problem.status, problem.type, [one.var_field for one in problem.errors or []]) from error

    def create_account(self, name):
        account = self.call(self.accounts.create_account, AccountRequest(name=name))
        return account.id, account.key

    def delete_account(self, account):
        self.call(self.accounts.delete_account, account)

    def create_webhook(self, url, items, threshold):
        body = WebhookRequest(url=url, items=items, threshold=threshold, log="all")
        webhook = self.call(self.webhooks.create_webhook, body)
        return webhook.id, webhook.secret

    def webhook_ids(self):
        return [webhook.id for webhook in self.call(self.webhooks.list_webhooks).data]

    def change_webhook(self, webhook, **changes):
        return self.call(self.webhooks.change_webhook, webhook, WebhookPatch(**changes))

    def delete_webhook(self, webhook):
        self.call(self.webhooks.delete_webhook, webhook)

    def status(self, webhook, item_type):
        return self.call(self.webhooks.read_webhook, webhook).status[item_type]

    def send(self, item_type, item):
        send = getattr(self.bots, f"send_{item_type}")
        return self.call(send, "bot", Item(additional_properties=item)).id

    def item_states(self, item):
        return [one.state for one in self.call(self.webhooks.get_item, item).webhooks]

    def attempts(self, webhook, outcome):
        found = self.call(self.webhooks.list_attempts, webhook, outcome=outcome).data
        return [(one.outcome, one.status, one.became) for one in found]

    def held(self, webhook, item_type):
        return [one.id for one in self.call(self.webhooks.list_held, webhook, type=item_type).data]

    def dead(self, webhook, item_type):
        return [one.id for one in self.call(self.webhooks.list_dead, webhook, type=item_type).data]

    def replay(self, webhook, item_type):
        return self.call(self.webhooks.replay_dead, webhook, ReplayRequest(type=item_type)).id

    def read_replay(self, webhook, replay):
        return self.call(self.webhooks.read_replay, webhook, replay)

    def test(self, webhook):
        result = self.call(self.webhooks.test_webhook, webhook)
        return result.outcome, result.status

    def rotate(self, webhook):
        return self.call(self.webhooks.rotate_secret, webhook, RotationRequest(overlap_seconds=0)).secret


if __name__ == "__main__":
    run(Client)
