#!/usr/bin/env python3
"""Reads JUnit XML from stdin as pipelines do, checks it against what the common schemas require, and prints it as JSON.

Required (Jenkins' and Ant's schemas): the counts say what is there, times are decimal seconds, the timestamp has no zone,
each case has a name, and its result comes before its output.
"""

import json
import re
import sys
from xml.etree import ElementTree

from junitparser import Error, Failure, JUnitXml

text = sys.stdin.buffer.read()
report = JUnitXml.fromstring(text)
suites = list(report)
root = ElementTree.fromstring(text)

for element in [root, *root.iter("testsuite")]:
    cases = list(element.iter("testcase"))
    for attribute, found in [
        ("tests", cases),
        ("failures", [c for c in cases if c.find("failure") is not None]),
        ("errors", [c for c in cases if c.find("error") is not None]),
    ]:
        assert int(element.attrib[attribute]) == len(found), (element.tag, attribute)
for element in [root, *root.iter("testsuite"), *root.iter("testcase")]:
    assert re.fullmatch(r"\d+\.\d+", element.attrib["time"]), element.attrib
for suite in root.iter("testsuite"):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"]), suite.attrib
    assert suite.attrib["hostname"] and suite.attrib["name"]
for case in root.iter("testcase"):
    assert case.attrib["classname"] and case.attrib["name"]
    order = [child.tag for child in case]
    assert order in (["system-out"], ["failure", "system-out"], ["error", "system-out"]), order


def result(case):
    for found in case.result:
        kind = {Failure: "failure", Error: "error"}[type(found)]
        return {"is": kind, "type": found.type, "message": found.message, "text": found.text}
    return None


print(json.dumps([
    {"suite": suite.name, "cases": [{"name": c.name, "result": result(c), "out": c.system_out} for c in suite]}
    for suite in suites
]))
