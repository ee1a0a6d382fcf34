"""Expands template.yaml as the deployment does, and writes plain CloudFormation for cfn-lint.

Linting the SAM template itself lets an invalid runtime, a timeout of 1,200 s or a batch of 100,000 pass; linting
what the translator makes of it does not. Schedule expressions and names that are too long in a stack with a long name
pass either way, so they are checked here.

Usage: expand_template.py template.yaml expanded.json
"""

import json
import re
import sys

from samtranslator.public.translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies(ManagedPolicyLoader):
    """The template names no managed policy by its short name, so nothing has to be asked of IAM."""

    def __init__(self):
        super().__init__(None)

    def load(self):
        return {}


def schedule_expressions(node):
    """Every value of every ScheduleExpression below the node, whatever intrinsic function chooses among them."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "ScheduleExpression":
                yield from strings(value)
            else:
                yield from schedule_expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from schedule_expressions(value)


def strings(node):
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict) and set(node) == {"Fn::If"}:
        for branch in node["Fn::If"][1:]:
            yield from strings(branch)
    elif isinstance(node, dict) and set(node) == {"Fn::Sub"}:
        yield re.sub(r"\$\{[^}]+\}", "15", node["Fn::Sub"])
    else:
        raise SystemExit(f"a ScheduleExpression is not understood: {node!r}")


# The longest name of each type that may be named, where AWS does not make and cut the name itself.
NAMES = {
    "AWS::ApiGatewayV2::Api": ("Name", 128),
    "AWS::CloudWatch::Alarm": ("AlarmName", 255),
    "AWS::CloudWatch::CompositeAlarm": ("AlarmName", 255),
    "AWS::CloudWatch::Dashboard": ("DashboardName", 255),
    "AWS::DynamoDB::Table": ("TableName", 255),
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::KMS::Alias": ("AliasName", 256),
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
    "AWS::Logs::QueryDefinition": ("Name", 255),
    "AWS::SNS::Topic": ("TopicName", 256),
    "AWS::SQS::Queue": ("QueueName", 80),
    "AWS::Scheduler::Schedule": ("Name", 64),
}
# The longest that a deployment may give.
LONGEST = {
    "AWS::AccountId": "1" * 12,
    "AWS::Region": "ap-southeast-1",
    "AWS::StackId": "arn:aws:cloudformation:ap-southeast-1:111111111111:stack/" + "s" * 128 + "/" + "i" * 36,
    "AWS::StackName": "s" * 128,
}


def longest(node):
    """The longest text that a name comes to."""
    match node:
        case str():
            return node
        case {"Ref": name}:
            return LONGEST[name]
        case {"Fn::Sub": [str() as pattern, dict() as variables]}:
            known = LONGEST | {name: longest(value) for name, value in variables.items()}
            return re.sub(r"\$\{([^}]+)\}", lambda found: known[found[1]], pattern)
        case {"Fn::Sub": str() as pattern}:
            return longest({"Fn::Sub": [pattern, {}]})
        case {"Fn::Join": [str() as between, list() as parts]}:
            return between.join(longest(part) for part in parts)
        case {"Fn::Select": [index, {"Fn::Split": [str() as between, text]}]}:
            return longest(text).split(between)[int(index)]
    raise SystemExit(f"a name is not understood: {node!r}")


def check_names(resources):
    """Every name must fit, however long the stack's name is."""
    for logical_id, resource in resources.items():
        name, limit = NAMES.get(resource["Type"], (None, 0))
        value = resource.get("Properties", {}).get(name)
        if value is not None and len(longest(value)) > limit:
            raise SystemExit(f"{logical_id}.{name} may have {limit} characters, and has {len(longest(value))} in a "
                             "stack with a long name")


RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\)")


def main(source, target):
    with open(source, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for expression in schedule_expressions(template):
        if not RATE.fullmatch(expression):
            raise SystemExit(f"not a schedule expression: {expression}")
    # `sam build` and `sam package` put an archive's address where the source's folder was.
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    parameters = {
        name: str(parameter.get("Default", "0" * 64)) for name, parameter in template["Parameters"].items()
    }
    expanded = transform(template, parameters, NoManagedPolicies())
    check_names(expanded["Resources"])
    with open(target, "w", encoding="utf-8") as file:
        json.dump(expanded, file, indent=2)


if __name__ == "__main__":
    main(*sys.argv[1:])
