"""Lists and reads the local stack's tables and queues with boto3, and invokes CollectFunction.

Usage: aws_clients.py '{"dynamodb": URL, "sqs": URL, "lambda": URL}'
Prints one JSON object with what was found; ends with an error if anything is not as an AWS client expects it.
"""

import json
import sys

import boto3
from botocore.config import Config


def main(addresses):
    def client(service):
        return boto3.client(
            service,
            endpoint_url=addresses[service],
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(retries={"max_attempts": 0}),
        )

    dynamodb, sqs, functions = client("dynamodb"), client("sqs"), client("lambda")
    tables = {name: dynamodb.scan(TableName=name)["Items"] for name in dynamodb.list_tables()["TableNames"]}
    for name in tables:
        assert dynamodb.describe_table(TableName=name)["Table"]["TableStatus"] == "ACTIVE", name
    queues = {}
    for url in sqs.list_queues()["QueueUrls"]:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        queues[url.rsplit("/", 1)[1]] = attributes
    url = sqs.get_queue_url(QueueName="TickDeadQueue")["QueueUrl"]
    sent = sqs.send_message(
        QueueUrl=url, MessageBody="olá", MessageAttributes={"a": {"DataType": "String", "StringValue": "1"}}
    )
    received = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], WaitTimeSeconds=1)["Messages"]
    assert [message["MessageId"] for message in received] == [sent["MessageId"]], received
    assert received[0]["Body"] == "olá" and received[0]["MessageAttributes"]["a"]["StringValue"] == "1", received
    sqs.delete_message(QueueUrl=url, ReceiptHandle=received[0]["ReceiptHandle"])
    invoked = functions.invoke(FunctionName="CollectFunction", Payload=b"{}")
    assert invoked["StatusCode"] == 200 and "FunctionError" not in invoked, invoked
    print(
        json.dumps(
            {
                "tables": {name: len(rows) for name, rows in tables.items()},
                "queues": queues,
                "tick": json.load(invoked["Payload"]),
            }
        )
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
