"""Published schemas: which files are loaded, and what a slot's bytes mean by them (section 7 of the protocol)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

from tests.conformance.second.avro import MalformedError, Type, decode, item_encodings
from tests.conformance.second.avro_json import Parser, SchemaError, need
from tests.conformance.second.ladder import RUNGS, Rung
from tests.conformance.second.messages import HEADER, sha256

VERSION = re.compile(r"([a-z][a-z0-9-]{0,31})/(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")
_CLASSES = frozenset({"identity", "harm", "system", "people", "narrative", "technical", "restricted"})
_LOGICAL = frozenset({("int", "date"), ("long", "timestamp-millis")})
_SIMPLE = frozenset({"string", "bytes", "boolean", "int", "long", "fixed", "enum"})


@dataclass(frozen=True)
class Field:
    """One slot: its type without null, and whether its array is a set."""

    name: str
    type: Type
    is_set: bool

    def read(self, value: bytes) -> Any:
        """What a disclosed value says; raises MalformedError."""
        union = Type("union", parts=(Type("null"), self.type))
        said = decode(union, value)
        if self.is_set and said is not None:
            items = item_encodings(self.type.parts[0], value)
            if any(first >= second for first, second in pairwise(items)):
                raise MalformedError
        return said


@dataclass(frozen=True)
class Schema:
    """One loaded file; `coarser` leads from a slot to the next coarser one and to the function between them."""

    sha256: bytes
    fields: tuple[Field, ...]
    coarser: dict[int, tuple[int, Rung]]


def load(text: str) -> Schema:
    """The schema in the text of a file; raises SchemaError where it breaks a rule."""
    try:
        tree = json.loads(text, parse_constant=_no_constant)
        need(isinstance(tree, dict) and tree.get("type") == "record", "one record")
        record = Parser().type(tree, "")
    except (ValueError, RecursionError) as error:
        raise SchemaError("not JSON") from error
    need(record.logical is None, "a logical type of a record")
    fields = tuple(_field(entry, kind) for entry, (_, kind) in zip(tree["fields"], record.fields, strict=True))
    return Schema(sha256(text.encode()), fields, _ladders(tree["fields"], fields))


def known(texts: dict[str, str]) -> dict[tuple[str, int, int], Schema]:
    """The schemas that are known: those of the given texts that load, by name, major and minor."""
    found = {}
    for version, text in texts.items():
        match = VERSION.fullmatch(version)
        if match is None:
            continue
        try:
            found[match[1], int(match[2]), int(match[3])] = load(text)
        except SchemaError:
            continue
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _field(entry: dict[str, Any], kind: Type) -> Field:
    need(kind.kind == "union" and len(kind.parts) == 2 and kind.parts[0] == Type("null"), "a field is [null, T]")
    need("default" in entry and entry["default"] is None, "a field's default is null")
    need(entry["name"] not in dict(HEADER.fields), "a field with the name of a header field")
    need("class" not in entry or (isinstance(entry["class"], str) and entry["class"] in _CLASSES), "class")
    slot = kind.parts[1]
    need("set" not in entry or (entry["set"] is True and slot.kind == "array"), "set: true is for arrays")
    if slot.kind == "array":
        need(slot.logical is None, "a logical type of an array")
        _check_item(slot.parts[0])
    else:
        _check_simple(slot)
    return Field(entry["name"], slot, "set" in entry)


def _check_item(items: Type) -> None:
    if items.kind != "record":
        _check_simple(items)
        return
    need(items.logical is None and bool(items.fields), "a record in an array is not empty and has no logical type")
    for _, kind in items.fields:
        _check_simple(kind)


def _check_simple(kind: Type) -> None:
    need(kind.kind in _SIMPLE, f"a {kind.kind} here")
    need(kind.logical is None or (kind.kind, str(kind.logical)) in _LOGICAL, "logical type")


def _ladders(entries: list[dict[str, Any]], fields: tuple[Field, ...]) -> dict[int, tuple[int, Rung]]:
    places = {field.name: i for i, field in enumerate(fields)}
    coarser: dict[int, tuple[int, Rung]] = {}
    for i, entry in enumerate(entries):
        if "rung" not in entry:
            continue
        rung = entry["rung"]
        need(isinstance(rung, dict) and rung.keys() == {"of", "by"}, "rung: {of, by}")
        need(all(isinstance(rung[key], str) for key in rung), "of and by are names")
        need(rung["of"] in places and rung["by"] in RUNGS, "a rung of no field or by no function")
        finer, by = places[rung["of"]], RUNGS[rung["by"]]
        need(finer not in coarser, "two rungs of one field")
        a, b = fields[finer], fields[i]
        need(by.fits(a.type, a.is_set, b.type, b.is_set), "unfit types")
        coarser[finer] = (i, by)
    for start in coarser:
        at = start
        for _ in coarser:
            at = coarser[at][0] if at in coarser else -1
        need(at not in coarser, "a cycle")
    return coarser
