"""Deploys what `sam build` made to an emulator of AWS, ministack, and uses it as a client does.

Everything runs on loopback addresses. What is checked: an item arrives signed; every route of the API's own description
exists; a block holds and its release delivers; an update loses nothing that is queued or held; a bad parameter is
refused before a function changes, and the rollback leaves everything at work; deletion keeps what the documents say,
and a new stack adopts it.

Usage: deploy_check.py FOLDER, the folder that `sam build` wrote, such as .aws-sam/build
"""

import concurrent.futures
import contextlib
import hashlib
import http.client
import io
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore.exceptions import ClientError, WaiterError
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse
from standardwebhooks.webhooks import Webhook

from expand_template import NoManagedPolicies

REGION = "us-east-1"
STACK = "carteiro-check"
# The longest that anything here is waited for.
LONGEST = 90


class Fault(Exception):
    """Something that a deployment must do, and this one did not."""


def require(holds, what):
    if not holds:
        raise Fault(what)


def wait_for(what, probe):
    """The first value of the probe that is not None, False or 0."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        if found := probe():
            return found
        time.sleep(0.2)
    raise Fault(f"not seen within {LONGEST} s: {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def descendants(of):
    """The ids of all processes below one, as /proc has them."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    found, below = [], [of]
    while below:
        children = [child for child, parent in parents.items() if parent in below]
        found += children
        below = children
    return found


@contextlib.contextmanager
def emulator(folder):
    """A running ministack on a free port: its endpoint. Functions inherit its environment, so that is kept bare."""
    port = free_port()
    endpoint = f"http://localhost:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "TMPDIR": folder,
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "localhost",
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "WARNING",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "check",
        "AWS_SECRET_ACCESS_KEY": "check",
        "AWS_DEFAULT_REGION": REGION,
    }
    program = pathlib.Path(sys.executable).with_name("ministack")
    log = pathlib.Path(folder, "ministack.log")
    with log.open("wb") as output:
        process = subprocess.Popen([program], env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for("the emulator", lambda: is_up(process, port))
        yield endpoint
    except BaseException:
        sys.stderr.write(log.read_text(errors="replace")[-6000:])
        raise
    finally:
        stop(process)


def is_up(process, port):
    require(process.poll() is None, "the emulator keeps running")
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def stop(process):
    """Ends the emulator and what it started, by their ids."""
    children = descendants(process.pid)
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


class Receiver:
    """A customer's server: it keeps what arrives, and answers each path as it is told."""

    def __init__(self):
        self.deliveries, self.answers = [], {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.answers.get(self.path, 200)
                receiver.deliveries.append((self.path, status, dict(self.headers.items()), body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def accepted(self, path):
        """The deliveries that were answered with 2xx there, by their `webhook-id`."""
        taken = {}
        for at, status, headers, body in list(self.deliveries):
            if at == path and status == 200:
                taken.setdefault(headers["webhook-id"], []).append((headers, body))
        return taken


class Deployment:
    """The stack on the emulator, made as CloudFormation makes it of what SAM built."""

    def __init__(self, endpoint, folder):
        self.endpoint, self.folder = endpoint, pathlib.Path(folder)
        keys = {"aws_access_key_id": "check", "aws_secret_access_key": "check", "region_name": REGION}
        client = lambda service: boto3.client(service, endpoint_url=endpoint, **keys)
        self.cloudformation, self.functions, self.s3 = client("cloudformation"), client("lambda"), client("s3")
        self.sqs, self.dynamodb = client("sqs"), client("dynamodb")
        self.admin_key = secrets.token_hex(32)
        self.parameters = {
            "AdminKeySha256": hashlib.sha256(self.admin_key.encode()).hexdigest(),
            "AllowedPrivateTargets": "127.0.0.0/8",
            "Architecture": "x86_64",
            "FailureThreshold": "3",
        }
        self.s3.create_bucket(Bucket="code")
        self.url = self.upload(self.expanded())

    def upload(self, template):
        """The address of a template in the emulator's S3: too large to be sent with a call."""
        self.s3.put_object(Bucket="code", Key="template.json", Body=json.dumps(template).encode())
        return f"{self.endpoint}/code/template.json"

    def expanded(self):
        """The built template, its code uploaded, expanded as a deployment expands it."""
        template = yaml_parse((self.folder / "template.yaml").read_text())
        declared = template["Parameters"]
        for name, resource in template["Resources"].items():
            if resource["Type"] == "AWS::Serverless::Function":
                code = resource["Properties"]["CodeUri"]
                resource["Properties"]["CodeUri"] = self.uploaded(name, self.folder / code)
        values = {name: str(self.parameters.get(name, of.get("Default", ""))) for name, of in declared.items()}
        expanded = transform(template, values, NoManagedPolicies())
        add_routes(expanded["Resources"])
        set_concurrency(expanded["Resources"], values)
        return expanded

    def uploaded(self, name, folder):
        """The address of a function's archive, as `sam package` makes it."""
        program = folder / "bootstrap"
        require(program.is_file(), f"{name}: sam build left no {program}")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            zipped.writestr(entry, program.read_bytes(), zipfile.ZIP_DEFLATED)
        self.s3.put_object(Bucket="code", Key=f"{name}.zip", Body=archive.getvalue())
        return f"s3://code/{name}.zip"

    def deploy(self, kind, **changes):
        """Makes or updates the stack. `kind` is `create` or `update`; the parameters are those so far and `changes`."""
        values = {**self.parameters, **changes}
        given = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
        call = getattr(self.cloudformation, f"{kind}_stack")
        call(StackName=STACK, TemplateURL=self.url, Parameters=given, Capabilities=["CAPABILITY_IAM"])
        self.wait(kind)
        self.parameters = values

    def wait(self, kind):
        waiter = self.cloudformation.get_waiter(f"stack_{kind}_complete")
        try:
            waiter.wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": LONGEST})
        except WaiterError:
            raise Fault(f"{kind} of the stack failed: {self.reasons()}") from None

    def stack(self):
        return self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]

    def events(self):
        """The events of the last making or changing of the stack, newest first, its rollback included."""
        events = self.cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        begins = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
        of_stack = lambda event: event["LogicalResourceId"] == STACK
        begin = (at for at, event in enumerate(events) if of_stack(event) and event["ResourceStatus"] in begins)
        return events[: next(begin, len(events))]

    def reasons(self):
        failed = [event for event in self.events() if event["ResourceStatus"].endswith("FAILED")]
        return [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed]

    def resources(self, stack=STACK):
        """The physical ids of a stack's resources, by their logical ids."""
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        listed = [resource for page in pages for resource in page["StackResourceSummaries"]]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in listed}

    def configurations(self):
        """What each function is configured with, by its logical id."""
        found = {}
        for logical, physical in self.resources().items():
            if logical.endswith("Function"):
                of = self.functions.get_function_configuration(FunctionName=physical)
                found[logical] = {key: of.get(key) for key in ("CodeSha256", "Environment", "Timeout", "Role")}
        return found

    def tick(self):
        answer = self.functions.invoke(FunctionName=self.resources()["CollectFunction"], Payload=b"{}")
        text = answer["Payload"].read().decode()
        require("FunctionError" not in answer, f"a tick succeeds: {text}")

    def call(self, method, path, body=None, key=None):
        """One request to the API: its status, and its body as JSON where it is."""
        port = self.endpoint.rsplit(":", 1)[1]
        headers = {"host": f"{self.resources_api}.execute-api.localhost:{port}", "content-type": "application/json"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=LONGEST)
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        with contextlib.suppress(ValueError):
            return response.status, json.loads(text)
        return response.status, text

    def ask(self, method, path, body=None, key=None):
        """The same, where it must succeed."""
        status, answer = self.call(method, path, body, key)
        require(status // 100 == 2, f"{method} {path} answered {status}: {answer}")
        return answer


def add_routes(resources):
    """The emulator reads no API's `Body`: each of its operations becomes a route and an integration."""
    for name, resource in list(resources.items()):
        if resource["Type"] != "AWS::ApiGatewayV2::Api":
            continue
        for path, operations in resource["Properties"].pop("Body")["paths"].items():
            for method, operation in operations.items():
                at = hashlib.sha256(f"{method} {path}".encode()).hexdigest()[:12]
                of = operation["x-amazon-apigateway-integration"]
                integration = {
                    "ApiId": {"Ref": name},
                    "IntegrationType": "AWS_PROXY",
                    "IntegrationUri": of["uri"],
                    "PayloadFormatVersion": of["payloadFormatVersion"],
                }
                resources[f"I{at}"] = {"Type": "AWS::ApiGatewayV2::Integration", "Properties": integration}
                route = {
                    "ApiId": {"Ref": name},
                    "RouteKey": path if path == "$default" else f"{method.upper()} {path}",
                    "Target": {"Fn::Sub": f"integrations/${{I{at}}}"},
                }
                resources[f"R{at}"] = {"Type": "AWS::ApiGatewayV2::Route", "Properties": route}


def set_concurrency(resources, values):
    """The emulator takes a parameter's text as it is where a number is needed."""
    for resource in resources.values():
        scaling = resource.get("Properties", {}).get("ScalingConfig")
        if scaling and isinstance(scaling["MaximumConcurrency"], dict):
            scaling["MaximumConcurrency"] = int(values[scaling["MaximumConcurrency"]["Ref"]])
        if resource["Type"] == "AWS::Lambda::EventSourceMapping" and isinstance(
            resource["Properties"].get("BatchSize"), dict
        ):
            resource["Properties"]["BatchSize"] = int(values[resource["Properties"]["BatchSize"]["Ref"]])


class Check:
    """The steps, in their order."""

    def __init__(self, deployment, receiver):
        self.deployment, self.receiver = deployment, receiver

    def run(self):
        for step in (
            self.fail_to_make,
            self.make,
            self.deliver,
            self.ask_every_route,
            self.block,
            self.update,
            self.fail_an_update,
            self.release,
            self.delete_and_adopt,
        ):
            began = time.monotonic()
            step()
            print(f"{step.__name__}: {time.monotonic() - began:.1f} s", flush=True)

    def fail_to_make(self):
        """A first deployment that the check refuses leaves nothing behind."""
        try:
            self.deployment.deploy("create", HostConcurrency="2.5")
        except Fault as fault:
            require("ParameterCheck: HostConcurrency is malformed" in str(fault), f"the check names it: {fault}")
        else:
            raise Fault("HostConcurrency=2.5 was taken")
        wait_for("the rollback", lambda: self.deployment.stack()["StackStatus"] == "ROLLBACK_COMPLETE")
        left = self.deployment.dynamodb.list_tables()["TableNames"], self.deployment.sqs.list_queues().get("QueueUrls")
        require(left in (([], None), ([], [])), f"a refused first deployment leaves nothing behind: {left}")
        self.deployment.cloudformation.delete_stack(StackName=STACK)
        self.deployment.wait("delete")

    def make(self):
        self.deployment.deploy("create")
        self.deployment.resources_api = self.deployment.resources()["HttpApi"]

    def deliver(self):
        account = self.deployment.ask("POST", "/accounts", {"name": "Acme"}, self.deployment.admin_key)
        self.key = account["key"]
        asked = {"url": f"{self.receiver.url}/acme", "items": ["message", "event"]}
        self.webhook = self.deployment.ask("POST", "/webhooks", asked, self.key)
        asked = {"url": f"{self.receiver.url}/later", "items": ["contact"], "threshold": 1000}
        self.deployment.ask("POST", "/webhooks", asked, self.key)
        self.post("messages", {"text": "hello"}, "/acme")

    def post(self, kind, item, arrives_at):
        """Posts an item, and waits until it arrived, signed, where that is said."""
        accepted = self.deployment.ask("POST", f"/bots/shop/{kind}", item, self.key)
        require(accepted["webhooks"] == 1, f"one webhook takes {kind}: {accepted}")
        if arrives_at:
            taken = wait_for(f"{kind} at {arrives_at}", lambda: self.receiver.accepted(arrives_at).get(accepted["id"]))
            headers, body = taken[0]
            Webhook(self.webhook["secret"]).verify(body, {name.lower(): text for name, text in headers.items()})
            require(json.loads(body) == item, f"the item's bytes arrive: {body}")
        return accepted["id"]

    def ask_every_route(self):
        """No operation that the API describes is unknown to the gateway."""
        described = self.deployment.ask("GET", "/openapi.json")
        methods = {"get", "post", "patch", "delete", "put"}
        asked = [
            (method.upper(), path.replace("{", "").replace("}", ""))
            for path, operations in described["paths"].items()
            for method in operations
            if method in methods
        ]
        require(len(asked) > 40, f"{len(asked)} operations are described")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda one: self.deployment.call(*one), asked))
        unknown = [one for one, (status, body) in zip(asked, answers) if status == 404 and "title" not in dict(body)]
        broken = [(one, body) for one, (status, body) in zip(asked, answers) if status >= 500 and status != 503]
        require(not unknown, f"routes that the API describes and the gateway does not know: {unknown}")
        require(not broken, f"routes that do not work: {broken}")

    def state(self):
        webhook = self.deployment.ask("GET", f"/webhooks/{self.webhook['id']}", None, self.key)
        return webhook["status"]["event"]

    def block(self):
        self.receiver.answers["/acme"] = 500
        self.held = [self.post("events", {"n": n}, None) for n in range(3)]
        wait_for("the block", lambda: self.state()["state"] == "blocked")
        self.held.append(self.post("events", {"n": 3}, None))
        wait_for("four held items", lambda: self.state()["held"] == 4)

    def update(self):
        """Items wait in the queue for their second attempt, and are held by the block."""
        self.receiver.answers["/later"] = 503
        queued = [self.post("contacts", {"n": n}, None) for n in range(5)]
        seen = lambda: {headers["webhook-id"] for path, _, headers, _ in self.receiver.deliveries if path == "/later"}
        wait_for("first attempts", lambda: seen() >= set(queued))
        self.deployment.deploy("update", AttemptSeconds="10")
        deliver = self.deployment.configurations()["DeliverFunction"]
        require(deliver["Environment"]["Variables"]["ATTEMPT_SECONDS"] == "10", "the update reaches the functions")
        self.receiver.answers["/later"] = 200
        wait_for("what was queued", lambda: set(self.receiver.accepted("/later")) >= set(queued))
        require(self.state()["held"] == 4, "what was held is held after an update")

    def fail_an_update(self):
        """Bad parameters are refused, by their patterns or by the check, before any function changes."""
        before = self.deployment.configurations()
        for name, value in (("XConsumerSecrets", "x"), ("NetworkSettings", "[]"), ("Architecture", "riscv")):
            try:
                self.deployment.deploy("update", **{name: value})
            except ClientError as error:
                require(name in str(error), f"the refusal names {name}: {error}")
            else:
                raise Fault(f"{name}={value} was taken")
        for name, value, reason in (
            ("NetworkSettings", '{"facebok": {}}', "NetworkSettings is malformed"),
            ("AllowedPrivateTargets", "10.0.0.0/40", "AllowedPrivateTargets is malformed"),
        ):
            try:
                self.deployment.deploy("update", **{name: value})
            except Fault as fault:
                require("ParameterCheck" in str(fault) and reason in str(fault), f"the check names {name}: {fault}")
                print(f"  refused as it should be: {fault}")
            else:
                raise Fault(f"{name}={value} was taken")
            wait_for("the rollback", lambda: self.deployment.stack()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE")
            touched = {event["LogicalResourceId"] for event in self.deployment.events()}
            touched = {name for name in touched if name.endswith("Function")} - {"CheckFunction"}
            require(not touched, f"the check is made before other functions change: {touched}")
            require(self.deployment.configurations() == before, "a rollback leaves the functions as they were")
        self.deployment.tick()
        self.receiver.answers["/acme"] = 200
        self.post("messages", {"text": "after a rollback"}, "/acme")

    def release(self):
        self.deployment.ask("POST", f"/webhooks/{self.webhook['id']}/unblock", None, self.key)
        wait_for("what was held", lambda: set(self.receiver.accepted("/acme")) >= set(self.held))
        wait_for("an open webhook", lambda: self.state()["state"] == "open" and self.state()["held"] == 0)
        accepted = {**self.receiver.accepted("/acme"), **self.receiver.accepted("/later")}
        twice = [item for item, taken in accepted.items() if len(taken) > 1]
        require(not twice, f"delivered and accepted twice: {twice}")

    def delete_and_adopt(self):
        """Deletion keeps what says so; a new stack takes it in, and the account's key works there."""
        cloudformation = self.deployment.cloudformation
        before = self.deployment.resources()
        # The emulator lists nothing of a deleted stack, as AWS does.
        listed = cloudformation.list_stack_resources(StackName=STACK)["StackResourceSummaries"]
        listed = json.dumps(listed, default=str)
        cloudformation.delete_stack(StackName=STACK)
        self.deployment.wait("delete")
        out = tempfile.mkdtemp(dir=os.environ.get("TMPDIR"))
        adopt = pathlib.Path(__file__).parents[1] / "adopt.py"
        command = [sys.executable, adopt, self.deployment.folder / "template.yaml", out]
        subprocess.run(command, input=listed.encode(), check=True)
        template = json.loads(pathlib.Path(out, "template.json").read_text())
        wanted = json.loads(pathlib.Path(out, "resources.json").read_text())
        shutil.rmtree(out)
        # The emulator does not notice.
        unknown = set(references(template["Resources"])) - set(template["Resources"]) - set(template["Parameters"])
        require(not unknown, f"the import's template refers to what it has not: {unknown}")
        cloudformation.create_change_set(
            StackName=STACK,
            ChangeSetName="adopt",
            ChangeSetType="IMPORT",
            TemplateBody=json.dumps(template),
            ResourcesToImport=wanted,
        )
        cloudformation.get_waiter("change_set_create_complete").wait(
            StackName=STACK, ChangeSetName="adopt", WaiterConfig={"Delay": 1, "MaxAttempts": LONGEST}
        )
        cloudformation.execute_change_set(StackName=STACK, ChangeSetName="adopt")
        wait_for("the import", lambda: self.deployment.stack()["StackStatus"] == "IMPORT_COMPLETE")
        self.deployment.deploy("update")
        after = self.deployment.resources()
        kept = [name["LogicalResourceId"] for name in wanted]
        require(len(kept) >= 11, f"what was kept: {kept}")
        changed = [name for name in kept if before[name] != after[name]]
        require(not changed, f"made anew, not adopted: {changed}")
        self.deployment.resources_api = after["HttpApi"]
        webhook = self.deployment.ask("GET", f"/webhooks/{self.webhook['id']}", None, self.key)
        require(webhook["url"] == f"{self.receiver.url}/acme", f"the adopted tables hold the webhook: {webhook}")
        self.post("messages", {"text": "after an adoption"}, "/acme")


def references(node):
    """The logical names that a part of a template refers to."""
    if isinstance(node, list):
        for one in node:
            yield from references(one)
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        text = value[0] if name == "Fn::Sub" and isinstance(value, list) else value
        if name == "Ref":
            yield from [] if value.startswith("AWS::") else [value]
        elif name == "Fn::GetAtt":
            yield value.split(".")[0] if isinstance(value, str) else value[0]
        elif name == "Fn::Sub":
            named = re.findall(r"\$\{([A-Za-z0-9]+)[.}]", text)
            yield from named
        else:
            yield from references(value)


def main(folder):
    # The translator names the Region's partition by it.
    os.environ["AWS_DEFAULT_REGION"] = REGION
    receiver = Receiver()
    with tempfile.TemporaryDirectory(prefix="carteiro-deploy-") as place, emulator(place) as endpoint:
        Check(Deployment(endpoint, folder), receiver).run()
    print("the deployment works")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Fault as fault:
        raise SystemExit(f"deploy check: {fault}") from None
