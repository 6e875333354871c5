#!/usr/bin/env python3
"""check_dashboard.py FILE...: are these dashboards what Grafana understands?

Each is loaded with Grafana's own generated types and written again: a key that got lost or changed is a typo or an unknown
option, a value of another type than declared a mistake. Each PromQL expression goes through promtool.
"""
import enum
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import typing

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()


def lost(before, after, at=""):
    """What of `before` is not in `after`."""
    if isinstance(before, dict):
        if not isinstance(after, dict):
            yield f"{at}: changed"
            return
        for key, value in before.items():
            if key in after:
                yield from lost(value, after[key], f"{at}.{key}")
            elif value not in (None, False, "", [], {}, 0):
                yield f"{at}.{key}: Grafana does not know it"
    elif isinstance(before, list):
        if not isinstance(after, list) or len(before) != len(after):
            yield f"{at}: the list changed"
            return
        for n, (b, a) in enumerate(zip(before, after)):
            yield from lost(b, a, f"{at}[{n}]")
    elif before != after:
        yield f"{at}: {before!r} became {after!r}"


def mistyped(value, at=""):
    """Attributes whose value none of the declared types allows."""
    if isinstance(value, list):
        for n, item in enumerate(value):
            yield from mistyped(item, f"{at}[{n}]")
    elif hasattr(value, "to_json") and not isinstance(value, enum.Enum):
        try:
            hints = typing.get_type_hints(type(value))
        except Exception:
            return
        for name, item in vars(value).items():
            hint = hints.get(name)
            choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Union else (hint,)
            plain = [c for c in choices if c in (str, int, float, bool)]
            enums = [c for c in choices if isinstance(c, type) and issubclass(c, enum.Enum)]
            known = len(plain) + len(enums) + (type(None) in choices) == len(choices)
            if item is not None and known and plain + enums:
                bare = item.value if isinstance(item, enum.Enum) else item
                fits = any(type(bare) is p or (p is float and type(bare) is int) for p in plain)
                fits = fits or any(bare == member.value for e in enums for member in e)
                if not fits:
                    yield f"{at}.{name}: {item!r} is none of {[c.__name__ for c in choices]}"
            yield from mistyped(item, f"{at}.{name}")


def bad_promql(expression):
    """What promtool says against an expression."""
    concrete = re.sub(r"\$__(rate_interval|interval|range)", "5m", expression)
    rules = {"groups": [{"name": "g", "rules": [{"record": "a:b", "expr": concrete}]}]}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump(rules, file)
        file.flush()
        done = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


failed = False
for name in sys.argv[1:]:
    written = json.loads(pathlib.Path(name).read_text())
    dashboard = Dashboard.from_json(written)
    mistakes = list(lost(written, json.loads(JSONEncoder().encode(dashboard)))) + list(mistyped(dashboard))
    for panel in written["panels"]:
        for target in panel.get("targets", []):
            if wrong := bad_promql(target["expr"]):
                mistakes.append(f"{panel['title']}: {wrong}")
    for mistake in mistakes:
        print(f"{name}: {mistake}")
    failed |= bool(mistakes)
sys.exit(failed)
