"""Judges documents by a JSON Schema, as an editor does.

Reads {"schema": …, "documents": {name: document}} from stdin, and writes {name: what is wrong with it, or null}.
"""

import json
import sys

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

asked = json.load(sys.stdin)
Draft7Validator.check_schema(asked["schema"])
validator = Draft7Validator(asked["schema"])


def judged(document):
    error = best_match(validator.iter_errors(document))
    return error and f"{error.json_path}: {error.message}"


json.dump({name: judged(document) for name, document in asked["documents"].items()}, sys.stdout)
