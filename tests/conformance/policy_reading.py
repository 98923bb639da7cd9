"""Reads schemas and policies for the policy oracle, from design sections 3 and 4 alone.

Independent of the node on purpose: nothing of `tocsin` is imported. A text that the design does not
let a node load is answered by `Refused`.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TLPS = ["CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED"]
KINDS = ["MEMBER", "AUTHORITY", "BODY", "COMMUNITY", "PUBLIC"]
STAGES = ["INITIAL", "UPDATE", "FINAL", "RETRACTION"]
CLASSES = ["identity", "harm", "system", "people", "narrative", "technical", "restricted"]
HEADER_FIELDS = ["origin", "stage", "tlp", "exercise"]
INT_RANGES = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
PARTY = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Refused(Exception):
    """The text is not loaded."""


@dataclass(frozen=True)
class Field:
    """One field of a schema: its type without null, and the finer field that it is a rung of."""

    name: str
    type: dict[str, Any]  # always a mapping with "type"; named types resolved
    cls: str | None
    of: str | None
    by: str | None

    @property
    def plain_number(self) -> bool:
        return self.type["type"] in ("int", "long") and "logicalType" not in self.type


@dataclass(frozen=True)
class Schema:
    """A schema: its fields by name, in slot order."""

    id: str
    fields: dict[str, Field]

    def coarser(self, name: str) -> list[str]:
        """Every coarser rung of `name`, the finest first."""
        above = [field.name for field in self.fields.values() if field.of == name]
        return above + [further for rung in above for further in self.coarser(rung)]

    def finer(self, name: str) -> list[str]:
        """Every field of which `name` is a coarser rung, the coarsest first."""
        below = self.fields[name].of
        return [] if below is None else [below, *self.finer(below)]


@dataclass(frozen=True)
class Test:
    """One member of a conjunction: `how` is "in", ">=", "<=" or "is"."""

    how: str
    value: Any

    def holds(self, value: Any) -> bool:
        """Whether a concrete value passes."""
        if self.how == "in":
            return bool(self.value & set(value)) if isinstance(value, list) else value in self.value
        if self.how == ">=":
            return bool(value >= self.value)
        if self.how == "<=":
            return bool(value <= self.value)
        return bool(value is self.value)


@dataclass(frozen=True)
class Rule:
    """One rule, with names expanded: `names` has coarser rungs of a grant, finer ones of a restriction."""

    id: str
    to: frozenset[str]
    when: dict[str, Test]
    grant: bool
    names: frozenset[str]
    delay: int | None  # minutes of `after` (0 without) or of `embargo`; None: without end
    hold: bool
    reveals: frozenset[str]


@dataclass(frozen=True)
class Policy:
    """A policy that a node may load."""

    id: str
    version: int
    schema: Schema
    effective: int
    kinds: dict[str, str]
    exercises: frozenset[str]
    onward: dict[str, frozenset[str]]
    rules: list[Rule]


def read_schema(schema_id: str, text: str) -> Schema:
    """The schema of a published text (taken to be valid: other vectors are about that)."""
    named: dict[str, Any] = {}

    def resolved(avro: Any) -> dict[str, Any]:
        if isinstance(avro, str):
            return dict(named.get(avro, {"type": avro}))
        found = dict(avro)
        if found["type"] == "array":
            found["items"] = resolved(found["items"])
        if "name" in found:
            named[found["name"]] = found
        return found

    record = json.loads(text)
    fields = {}
    for raw in record["fields"]:
        rung = raw.get("rung", {})
        fields[raw["name"]] = Field(
            raw["name"], resolved(raw["type"][1]), raw.get("class"), rung.get("of"), rung.get("by")
        )
    return Schema(schema_id, fields)


def read_policy(text: str, schemas: Mapping[str, Schema], regions: Mapping[str, str]) -> Policy:
    """The policy of a TOML text, or Refused; the leak check included."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Refused(str(error)) from error
    _keys(
        document,
        ["policy", "version", "schema", "jurisdiction", "effective_from"],
        ["audience", "sets", "onward", "rule"],
    )
    _require(isinstance(document["policy"], str) and PARTY.fullmatch(document["policy"]), "policy")
    version = document["version"]
    _require(type(version) is int and 1 <= version < 2**31, "version")
    _require(isinstance(document["schema"], str) and document["schema"] in schemas, "schema")
    jurisdiction = document["jurisdiction"]
    _require(isinstance(jurisdiction, str) and re.fullmatch(r"([A-Z]{2})?", jurisdiction, re.ASCII), "jurisdiction")
    schema = schemas[document["schema"]]
    audiences = _table(document.get("audience", {}))
    for name, entry in audiences.items():
        _audience(name, entry)
    kinds = {name: entry["kind"] for name, entry in audiences.items()}
    sets = _sets(_table(document.get("sets", {})), kinds)
    onward = {}
    for kind, names in _table(document.get("onward", {})).items():
        _require(kind in KINDS, "onward")
        onward[kind] = _with_coarser(schema, _expand(names, schema))
    raw_rules = document.get("rule", [])
    _require(isinstance(raw_rules, list), "rule")
    rules = [_rule(raw, schema, kinds, sets, regions) for raw in raw_rules]
    _require(len({rule.id for rule in rules}) == len(rules), "a repeated rule id")
    accepting = frozenset(name for name, entry in audiences.items() if entry.get("accepts_exercises", False))
    policy = Policy(
        document["policy"], version, schema, _minute(document["effective_from"]), kinds, accepting, onward, rules
    )
    _leaks(policy)
    return policy


def _require(condition: object, what: str) -> None:
    if not condition:
        raise Refused(what)


def _table(value: Any) -> dict[str, Any]:
    _require(isinstance(value, dict), "a table is wanted")
    return dict(value)


def _keys(table: Any, needed: Iterable[str], allowed: Iterable[str]) -> None:
    _require(isinstance(table, dict), "a table is wanted")
    _require(set(needed) <= set(table) <= {*needed, *allowed}, f"keys {sorted(table)}")


def _strings(value: Any) -> list[str]:
    _require(isinstance(value, list) and value, "a non-empty list is wanted")
    _require(all(isinstance(item, str) for item in value), "a list of strings is wanted")
    return list(value)


def _minute(moment: Any) -> int:
    _require(isinstance(moment, datetime) and moment.tzinfo is not None, "effective_from needs an offset")
    seconds = (moment - EPOCH).total_seconds()
    _require(seconds % 60 == 0, "effective_from is a whole minute")
    return int(seconds // 60)


def _audience(name: str, entry: Any) -> None:
    _keys(entry, ["kind"], ["accepts_exercises"])
    _require(type(entry.get("accepts_exercises", False)) is bool, "accepts_exercises")
    _require(entry["kind"] in KINDS, "kind")
    if entry["kind"] == "PUBLIC":
        _require(name == "public", "the public audience")
    elif entry["kind"] == "COMMUNITY":
        _require(re.fullmatch(r"community-[a-z0-9-]{1,32}", name, re.ASCII), "a community")
    else:
        _require(_is_party(name), "a reader")


def _is_party(name: str) -> bool:
    return bool(PARTY.fullmatch(name)) and name != "public" and not name.startswith("community-")


def _sets(raw: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, frozenset[str]]:
    sets = {}
    for name, members in raw.items():
        _require(PARTY.fullmatch(name) and name not in kinds, "a set's name, which is no audience's")
        sets[name] = frozenset(_strings(members))
        _require(sets[name] <= set(kinds), "a set of what is no audience")
    return sets


def _expand(names: Any, schema: Schema) -> frozenset[str]:
    found: set[str] = set()
    for name in _strings(names):
        if name == "*":
            found |= set(schema.fields)
        elif name.startswith("@"):
            _require(name[1:] in CLASSES, "an unknown class")
            found |= {field.name for field in schema.fields.values() if field.cls == name[1:]}
        else:
            _require(name in schema.fields, f"unknown field {name}")
            found.add(name)
    return frozenset(found)


def _with_coarser(schema: Schema, names: Iterable[str]) -> frozenset[str]:
    return frozenset(found for name in names for found in [name, *schema.coarser(name)])


def _with_finer(schema: Schema, names: Iterable[str]) -> frozenset[str]:
    return frozenset(found for name in names for found in [name, *schema.finer(name)])


def _duration(text: Any) -> int:
    """Minutes of PnD or PTnH."""
    match = isinstance(text, str) and re.fullmatch(r"P(T?)(0|[1-9][0-9]{0,3})([DH])", text, re.ASCII)
    if not match or (match[1] == "T") != (match[3] == "H"):
        raise Refused("a duration")
    return int(match[2]) * (60 if match[1] else 1440)


def _rule(
    raw: Any, schema: Schema, kinds: Mapping[str, str], sets: Mapping[str, frozenset[str]], regions: Mapping[str, str]
) -> Rule:
    _keys(raw, ["id", "to"], ["when", "disclose", "withhold", "after", "embargo", "hold", "reveals", "basis"])
    _require(isinstance(raw["id"], str) and re.fullmatch(r"[a-z0-9._-]{1,64}", raw["id"], re.ASCII), "rule id")
    _require(isinstance(raw.get("basis", ""), str), "basis")
    _require(("disclose" in raw) != ("withhold" in raw), "either a grant or a restriction")
    grant = "disclose" in raw
    _require(not (grant and ("embargo" in raw or "hold" in raw)), "a grant has no embargo and no hold")
    _require(grant or "after" not in raw, "a restriction has no after")
    _require(not ("embargo" in raw and "hold" in raw), "either an embargo or a hold")
    _require(raw.get("hold", True) is True, "hold = true or none")
    to: set[str] = set()
    for name in _strings(raw["to"]):
        _require(name == "*" or name in kinds or name in sets, f"unknown audience {name}")
        to |= set(kinds) if name == "*" else sets.get(name, {name})
    reveals: frozenset[str] = frozenset()
    if "reveals" in raw:
        reveals = _with_coarser(schema, _expand(raw["reveals"], schema))
    when = {key: _test(key, value, schema, regions, grant) for key, value in _table(raw.get("when", {})).items()}
    if grant:
        names = _with_coarser(schema, _expand(raw["disclose"], schema))
        delay: int | None = _duration(raw["after"]) if "after" in raw else 0
    else:
        names = _with_finer(schema, _expand(raw["withhold"], schema))
        delay = _duration(raw["embargo"]) if "embargo" in raw else None
    return Rule(raw["id"], frozenset(to), when, grant, names, delay, "hold" in raw, reveals)


def _test(key: str, value: Any, schema: Schema, regions: Mapping[str, str], grant: bool) -> Test:
    """One member of `when`, if its type and form are among the closed domains."""
    if key in HEADER_FIELDS:
        return _header_test(key, value, grant)
    _require(key in schema.fields, f"unknown field {key}")
    field = schema.fields[key]
    if field.plain_number:
        how, label = _comparison(value, r"0|-?[1-9][0-9]*")
        low, high = INT_RANGES[field.type["type"]]
        _require(low <= int(label) <= high, "a number that the slot can have")
        return Test(how, int(label))
    if field.type["type"] == "boolean":
        _require(type(value) is bool, "a boolean")
        return Test("is", value)
    labels = _labels(field, schema, regions)
    _require(set(_strings(value)) <= labels, f"labels of {key}")
    return Test("in", frozenset(value))


def _header_test(key: str, value: Any, grant: bool) -> Test:
    if key == "tlp":
        how, label = _comparison(value, "|".join(TLPS))
        _require(how == ("<=" if grant else ">="), "tlp")
        return Test(how, TLPS.index(label))
    if key == "exercise":
        _require(type(value) is bool, "exercise")
        return Test("is", value)
    for label in _strings(value):
        _require(label in STAGES if key == "stage" else _is_party(label), key)
    return Test("in", frozenset(value))


def _comparison(value: Any, labels: str) -> tuple[str, str]:
    match = isinstance(value, str) and re.fullmatch(rf"(<=|>=) ({labels})", value, re.ASCII)
    if not match:
        raise Refused("a comparison")
    return match[1], match[2]


def _labels(field: Field, schema: Schema, regions: Mapping[str, str]) -> set[str]:
    """The labels that a list may have: symbols, or codes in a region ladder; anything else is refused."""
    inner = field.type["items"] if field.type["type"] == "array" else field.type
    if inner["type"] == "enum":
        return set(inner["symbols"])
    if field.by == "region/1":
        return set(regions.values())
    if any(schema.fields[rung].by == "region/1" for rung in schema.coarser(field.name)):
        return set(regions)
    raise Refused(f"{field.name} cannot be tested")


def _leaks(policy: Policy) -> None:
    """No leak by condition: a tested slot is revealed, or given and never taken (but with everything)."""
    everything = frozenset(policy.schema.fields)
    for rule in policy.rules:
        for audience in rule.to:
            others = [other for other in policy.rules if audience in other.to]
            for slot in set(rule.when) - set(HEADER_FIELDS) - rule.reveals:
                given = all(slot in other.names for other in others if other.grant)
                taken = any(slot in other.names and other.names != everything for other in others if not other.grant)
                _require(given and not taken, f"rule {rule.id} tells {slot} to {audience}")
