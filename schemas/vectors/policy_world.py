# ruff: noqa: INP001 - scripts beside their data
"""What policy vectors are made of: small schemas, policies, reports, chains, and what is expected, written by hand."""

from __future__ import annotations

import json
from typing import Any

Named = tuple[str, dict[str, Any]]

NEVER = 2**31 - 1
HOUR, DAY = 60, 1_440
START = 29_000_000
"""The minute of issue, or of hop 0."""
SINGLE = ("MEMBER", "AUTHORITY", "BODY")
KINDS = (*SINGLE, "COMMUNITY", "PUBLIC")

WITHHELD = {"withheld": True}
UNREADABLE = {"unreadable": True}

PARTIES = {
    "gb": ["MEMBER", "GB"],
    "jp": ["MEMBER", "JP"],
    "ke": ["MEMBER", "KE"],
    "jp-regulator": ["AUTHORITY", "JP"],
    "ke-regulator": ["AUTHORITY", "KE"],
    "world": ["BODY", ""],
    "lab": ["LAB", "GB"],
}

_STRINGS = {"type": "array", "items": "string"}
_FIELDS: dict[str, dict[str, Any]] = {
    "title": {"type": "string", "class": "narrative"},
    "details": {"type": "string", "class": "restricted"},
    "note": {"type": "string"},
    "began": {"type": {"type": "long", "logicalType": "timestamp-millis"}, "class": "identity"},
    "day": {
        "type": {"type": "int", "logicalType": "date"},
        "class": "identity",
        "rung": {"of": "began", "by": "day/1"},
    },
    "month": {"type": {"type": "int", "logicalType": "date"}, "class": "harm", "rung": {"of": "day", "by": "month/1"}},
    "severity": {"type": "int", "class": "harm"},
    "band": {
        "type": {"type": "enum", "name": "Band", "symbols": ["NONE", "LOW", "MEDIUM", "HIGH"]},
        "class": "harm",
        "rung": {"of": "severity", "by": "band/1"},
    },
    "countries": {"type": _STRINGS, "set": True, "class": "identity"},
    "regions": {"type": _STRINGS, "set": True, "class": "harm", "rung": {"of": "countries", "by": "region/1"}},
    "tags": {"type": _STRINGS, "set": True, "class": "narrative"},
    "critical": {"type": "boolean", "class": "technical"},
    "deaths": {"type": "long", "class": "people"},
    "deaths_magnitude": {"type": "int", "class": "harm", "rung": {"of": "deaths", "by": "magnitude/1"}},
    "mode": {"type": {"type": "enum", "name": "Mode", "symbols": ["TEST", "LIVE"]}, "class": "system"},
    "kinds": {
        "type": {"type": "array", "items": {"type": "enum", "name": "Kind", "symbols": ["DEATH", "INJURY", "LOSS"]}},
        "class": "harm",
    },
    "levels": {"type": {"type": "array", "items": "int"}, "class": "technical"},
    "digest": {"type": {"type": "fixed", "name": "Digest", "size": 4}, "class": "technical"},
}
FIELDS = tuple(_FIELDS)


def schema(*names: str, more: dict[str, dict[str, Any]] | None = None) -> str:
    """The text of a schema with these fields, in this order."""
    known = _FIELDS | (more or {})
    fields = [{"name": name, "default": None} | known[name] | {"type": ["null", known[name]["type"]]} for name in names]
    return json.dumps({"type": "record", "name": "Test", "fields": fields})


def rule(rule_id: str, **parts: str) -> str:
    """One rule; each part is TOML: `rule("a", to='["jp"]', disclose='["title"]')`. `to` is jp where it is not said."""
    lines = [f"{key} = {value}" for key, value in ({"to": '["jp"]'} | parts).items()]
    return "\n".join(["[[rule]]", f'id = "{rule_id}"', *lines, ""])


def audience(name: str, kind: str = "MEMBER", *, exercises: bool = False) -> str:
    """One audience."""
    return f'[audience.{name}]\nkind = "{kind}"\n' + ("accepts_exercises = true\n" if exercises else "")


HEAD = """policy = "p"
version = 3
schema = "test/1.0"
jurisdiction = "GB"
effective_from = 2020-01-01T00:00:00Z
"""
JP = audience("jp")


def policy(*parts: str, head: str = HEAD, audiences: str = JP) -> str:
    """The text of a policy: head, audiences, then the parts as they stand."""
    return "\n".join([head, audiences, *parts])


def header(**changes: Any) -> dict[str, Any]:
    """The header of gb's initial report."""
    clear = {"origin": "gb", "stage": "INITIAL", "tlp": "CLEAR", "exercise": False, "schema": "test/1.0"}
    return clear | changes


def hop(releaser: str = "gb", to: str = "jp", **changes: Any) -> dict[str, Any]:
    """A hop of a chain; without changes gb's first, for jp."""
    plain = {"releaser": releaser, "audience": to, "kind": "MEMBER", "tlp": "CLEAR", "minute": START, "limits": []}
    return plain | changes


def vector(
    about: str, text: str, slots: dict[str, Any] | None, expect: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    """A vector: gb's own report with just these slots, for jp, ten minutes after issue, unless changed.

    `header` changes the header alone; `schemas` is given where the report's slots are not the whole schema.
    """
    head = header(**changes.pop("header", {}))
    made = {
        "about": about,
        "policy": text,
        "schemas": changes.pop("schemas", None) or {"test/1.0": schema(*(slots or FIELDS))},
        "node": "gb",
        "audience": "jp",
        "parties": PARTIES,
        "report": None if slots is None else {"header": head, "slots": slots},
        "chain": None,
        "incident": {"latest_tlp": head["tlp"], "sent": False, "retracted": False, "forked": False},
        "now_minute": START + 10,
        "first_accepted_minute": START,
        "approvals": [],
    }
    made["incident"] |= changes.pop("incident", {})
    return made | changes | {"expect": expect}


def nothing(why: str, following: int | None = None) -> dict[str, Any]:
    """What is expected where nothing is sent."""
    return {"nothing": why, "next": following}


def never(slots: list[str], kinds: tuple[str, ...] = KINDS) -> list[dict[str, Any]]:
    """Limits that keep these slots from these kinds for ever."""
    return [limit(kind, NEVER, *slots) for kind in kinds]


def limit(kind: str, until: int, *slots: str) -> dict[str, Any]:
    """One entry of limits."""
    return {"kind": kind, "until": until, "slots": list(slots)}


def given(
    disclosed: list[str], withheld: dict[str, tuple[str, int, str]] | None = None, **changes: Any
) -> dict[str, Any]:
    """What is expected of a decision; without groups in the policy, everything is kept from every kind for ever."""
    plain = {
        "disclosed": disclosed,
        "withheld": {n: {"code": c, "until": u, "rule": r} for n, (c, u, r) in (withheld or {}).items()},
        "tlp": "CLEAR",
        "minute": START + 10,
        "limits": never(disclosed) if disclosed else [],
        "next": None,
    }
    return plain | changes


NO = ("WITHHELD", 0, "")
COARSER = ("COARSENED", 0, "")


def no(rule_id: str) -> tuple[str, int, str]:
    """Withheld by a restriction without end."""
    return ("WITHHELD", 0, rule_id)


def embargoed(until: int, rule_id: str = "") -> tuple[str, int, str]:
    """Embargoed until a minute."""
    return ("EMBARGOED", until, rule_id)


# What many vectors are about: gb gives everything to everybody it names, or jp relays it to ke.
KE = audience("ke")
PUBLIC = audience("public", "PUBLIC")
TWO = {"title": "t", "critical": None}
ALL = rule("all", to='["*"]', disclose='["*"]')
TO_KE = policy(ALL, audiences=KE)
BOTH = given(["title", "critical"])
RELAY: dict[str, Any] = {"node": "jp", "audience": "ke", "chain": [hop()]}
WEEK = START + 7 * DAY
