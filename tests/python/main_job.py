"""What a customer and an operator do with the API, by a client that was generated from its description.

A program for one generator gives `run` its client; the steps and what must come of them are the same for all. The
time of the bundle is moved by whoever runs the program: a line of JSON on standard output asks for hours, and a line
on standard input says that they have passed.
"""

import json
import sys
import time
import urllib.request

BLOCKED_AFTER = 3
ITEM_TYPES = ["message", "event", "contact"]


class Refused(Exception):
    """A problem that the client made of an answer."""

    def __init__(self, status, kind, fields):
        super().__init__(f"{status} {kind} {fields}")
        self.status, self.kind, self.fields = status, kind.rsplit("/", 1)[-1].rsplit(":", 1)[-1], fields


def until(what, look):
    """What `look` comes to as soon as it is something."""
    ends = time.monotonic() + 240
    while not (found := look()):
        assert time.monotonic() < ends, f"this did not come about: {what}"
        time.sleep(0.2)
    return found


def until_state(state, look):
    """What `look` comes to as soon as its state is this one."""

    def reached():
        one = look()
        return one if one.state == state else None

    return until(f"the state {state}", reached)


def pass_hours(hours):
    print(json.dumps({"pass_hours": hours}), flush=True)
    assert sys.stdin.readline().strip() == "passed"


def receiver_answers(receiver, path, status):
    body = json.dumps({"path": path, "answer": status}).encode()
    request = urllib.request.Request(f"{receiver}/_/behaviours", data=body, method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 204, answer.status


def refused(call):
    try:
        answer = call()
    except Refused as refusal:
        return refusal
    raise AssertionError(f"this should have been refused: {answer}")


def run(client_of):
    told = json.loads(sys.argv[1])
    receiver, path = told["receiver"], told["path"]
    operator = client_of(told["api"], told["admin_key"])
    account_id, key = operator.create_account("Generated client")
    client = client_of(told["api"], key)

    wrong = refused(lambda: client_of(told["api"], "ck_wrong").create_webhook(f"{receiver}{path}", ITEM_TYPES, 3))
    assert (wrong.status, wrong.kind) == (401, "unauthorized"), wrong
    wrong = refused(lambda: client.create_webhook("https://10.0.0.1/", ITEM_TYPES, 3))
    assert (wrong.status, wrong.kind, wrong.fields) == (422, "invalid", ["url"]), wrong

    webhook, secret = client.create_webhook(f"{receiver}{path}", ITEM_TYPES, BLOCKED_AFTER)
    assert secret.startswith("whsec_"), "a secret is shown once"
    assert client.webhook_ids() == [webhook]

    # All three types arrive.
    for item_type in ITEM_TYPES:
        item = client.send(item_type, {"text": f"Olá, {item_type}", "n": 1})
        until(f"{item} is delivered", lambda: client.item_states(item) == ["delivered"])
    assert client.attempts(webhook, "success") == [("success", 200, "delivered")] * 3

    # It fails: the streak, the block and its message, the log.
    receiver_answers(receiver, path, 503)
    for number in range(BLOCKED_AFTER):
        client.send("message", {"number": number})
    status = until_state("blocked", lambda: client.status(webhook, "message"))
    assert (status.failures, status.threshold, status.last_error.status) == (3, 3, 503), status
    assert "bloquead" in status.message.pt_br and "blocked" in status.message.en, status.message
    assert status.blocked_until > status.blocked_at, "times are compared as times"
    client.send("message", {"number": BLOCKED_AFTER})
    until("held items", lambda: len(client.held(webhook, "message")) == 4)
    held = client.held(webhook, "message")
    assert client.status(webhook, "event").state == "open", "other types go on"
    failed = client.attempts(webhook, "failure")
    assert len(failed) == 3 and {one[:2] for one in failed} == {("failure", 503)}, failed

    # Held for too long, they die; the URL is mended, and they are sent again.
    changed = client.change_webhook(webhook, enabled=False)
    assert (changed.enabled, changed.log, changed.threshold) == (False, "all", 3), "a patch changes what it names"
    pass_hours(26)
    until("dead items", lambda: sorted(client.dead(webhook, "message")) == sorted(held))
    client.change_webhook(webhook, url=f"{receiver}{path}/mended", enabled=True)
    replay = client.replay(webhook, "message")
    done = until_state("done", lambda: client.read_replay(webhook, replay))
    assert (done.found, done.delivered, done.dead) == (4, 4, 0), done
    assert client.status(webhook, "message").state == "open"
    assert client.test(webhook) == ("success", 200)
    assert client.rotate(webhook) != secret

    # All of it goes.
    client.delete_webhook(webhook)
    gone = refused(lambda: client.status(webhook, "message"))
    assert (gone.status, gone.kind) == (404, "not-found"), gone
    operator.delete_account(account_id)
    assert refused(client.webhook_ids).status == 401
    print(json.dumps({"done": True}), flush=True)
