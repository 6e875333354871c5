"""What the alarms of a CloudFormation template say of the metrics there are.

Reads the template with its parameters (NAME=VALUE), registers each alarm as it is written there, and then asks for exactly the
numbers that the registered alarm asks for. Prints for each: the numbers by period, and whether it would go off.
"""

import datetime
import json
import operator
import re
import sys

import boto3
import yaml

OPERATORS = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
}


class Loader(yaml.SafeLoader):
    """Reads `!Ref X` as ("Ref", "X")."""


for function in ("Ref", "Sub"):
    Loader.add_constructor(f"!{function}", lambda loader, node, function=function: (function, node.value))


def resolved(value, parameters):
    match value:
        case ("Ref", name):
            return parameters.get(name, f"arn:aws:sns:eu-west-1:123456789012:{name}")
        case ("Sub", text):
            return re.sub(r"\$\{(\w+)\}", lambda found: parameters[found[1]], text)
        case dict():
            return {key: resolved(inner, parameters) for key, inner in value.items()}
        case list():
            return [resolved(inner, parameters) for inner in value]
    return value


def main(template, endpoint, *pairs):
    with open(template) as file:
        read = yaml.load(file, Loader)
    parameters = {name: about["Default"] for name, about in read["Parameters"].items() if "Default" in about}
    parameters.update(pair.split("=", 1) for pair in pairs)
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
    cloudwatch = boto3.client("cloudwatch", endpoint_url=endpoint, region_name="eu-west-1", **keys)
    for name, resource in read["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            cloudwatch.put_metric_alarm(AlarmName=name, **resolved(resource["Properties"], parameters))
    now = datetime.datetime.now(datetime.timezone.utc)
    said = {}
    for alarm in cloudwatch.describe_alarms()["MetricAlarms"]:
        points = cloudwatch.get_metric_statistics(
            **{key: alarm[key] for key in ("Namespace", "MetricName", "Dimensions", "Period")},
            Statistics=[alarm["Statistic"]],
            StartTime=now - datetime.timedelta(minutes=10),
            EndTime=now + datetime.timedelta(minutes=10),
        )["Datapoints"]
        values = [point[alarm["Statistic"]] for point in points]
        breaches = [OPERATORS[alarm["ComparisonOperator"]](value, alarm["Threshold"]) for value in values]
        missing = not values and alarm["TreatMissingData"] == "breaching"
        said[alarm["AlarmName"]] = {"values": values, "breaching": any(breaches) or missing}
    print(json.dumps(said))


main(*sys.argv[1:])
