"""Makes of what a deleted stack left behind an import into a new one.

Reads the deleted stack's resources, as `aws cloudformation list-stack-resources` prints them, from standard input. Of
the template it takes the tables, queues and the key that a deletion keeps, and writes into a folder:

- template.json: these resources alone, for an import takes no other change, and the parameters that they refer to;
- resources.json: which physical resource each of them is.

Usage: adopt.py template.yaml FOLDER < resources
"""

import json
import pathlib
import sys

from samtranslator.yaml_helper import yaml_parse

# What CloudFormation identifies each type by.
IDENTIFIERS = {"AWS::DynamoDB::Table": "TableName", "AWS::KMS::Key": "KeyId", "AWS::SQS::Queue": "QueueUrl"}


def main(source, folder):
    template = yaml_parse(pathlib.Path(source).read_text(encoding="utf-8"))
    kept = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource.get("DeletionPolicy") == "Retain"
    }
    for resource in kept.values():
        # What the whole stack waits for is no part of the import.
        resource.pop("DependsOn", None)
    texts = json.dumps(list(kept.values()))
    referred = {name: of for name, of in template.get("Parameters", {}).items() if f'"Ref": "{name}"' in texts}
    listed = json.load(sys.stdin)
    listed = listed.get("StackResourceSummaries", []) if isinstance(listed, dict) else listed
    physical = {resource["LogicalResourceId"]: resource.get("PhysicalResourceId") for resource in listed}
    missing = [name for name in kept if not physical.get(name)]
    if missing:
        raise SystemExit(f"not among the listed resources: {', '.join(missing)}")
    wanted = [
        {
            "ResourceType": resource["Type"],
            "LogicalResourceId": name,
            "ResourceIdentifier": {IDENTIFIERS[resource["Type"]]: physical[name]},
        }
        for name, resource in kept.items()
    ]
    out = pathlib.Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    out.joinpath("template.json").write_text(json.dumps({"Parameters": referred, "Resources": kept}, indent=2))
    out.joinpath("resources.json").write_text(json.dumps(wanted, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
