"""Expands template.yaml as the deployment does, and writes plain CloudFormation for cfn-lint.

Linting the SAM template itself lets an invalid runtime, a timeout of 1,200 s or a batch of 100,000 pass; linting
what the translator makes of it does not. Schedule expressions pass either way, so they are checked here.

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


RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\)")


def main(source, target):
    with open(source, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for expression in schedule_expressions(template):
        if not RATE.fullmatch(expression):
            raise SystemExit(f"not a schedule expression: {expression}")
    # `sam build` puts an archive's address where the source's folder was.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    parameters = {
        name: str(parameter.get("Default", "0" * 64)) for name, parameter in template["Parameters"].items()
    }
    expanded = transform(template, parameters, NoManagedPolicies())
    with open(target, "w", encoding="utf-8") as file:
        json.dump(expanded, file, indent=2)


if __name__ == "__main__":
    main(*sys.argv[1:])
