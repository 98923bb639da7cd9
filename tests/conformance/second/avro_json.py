"""Avro schemas as JSON: from the text of an `.avsc` file to a `Type`, names resolved as Apache Avro 1.12 says."""

from __future__ import annotations

import re
from typing import Any

from tests.conformance.second.avro import PRIMITIVES, Type

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SchemaError(Exception):
    """The text is no schema, or one that this protocol does not take."""


def need(holds: bool, what: str) -> None:
    """Raise SchemaError unless `holds`."""
    if not holds:
        raise SchemaError(what)


class Parser:
    """Reads one file; knows the names defined so far. float, double, map and recursion have no place in it."""

    def __init__(self) -> None:
        self._named: dict[str, Type] = {}
        self._taken: set[str] = set()  # every name so far, those of records that are still open included

    def type(self, schema: Any, namespace: str) -> Type:
        """The type that a JSON value stands for inside `namespace`."""
        if isinstance(schema, str):
            return self._named_type(schema, namespace)
        if isinstance(schema, list):
            parts = tuple(self.type(part, namespace) for part in schema)
            need(all(part.kind != "union" for part in parts), "a union in a union")
            return Type("union", parts=parts)
        need(isinstance(schema, dict), "a type is a string, a list or an object")
        kind, logical = schema.get("type"), schema.get("logicalType")
        if isinstance(kind, str) and kind in PRIMITIVES:
            return Type(kind, logical=logical)
        if kind == "array":
            need("items" in schema, "an array without items")
            return Type("array", logical=logical, parts=(self.type(schema["items"], namespace),))
        need(isinstance(kind, str) and kind in {"enum", "fixed", "record"}, f"type {kind!r}")
        name, inner = self._define(schema, namespace)
        self._named[name] = getattr(self, f"_{kind}")(schema, name, inner, logical)
        return self._named[name]

    def _named_type(self, name: str, namespace: str) -> Type:
        if name in PRIMITIVES:
            return Type(name)
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        need(full in self._named, f"no type {full} before this place")
        return self._named[full]

    def _define(self, schema: dict[str, Any], namespace: str) -> tuple[str, str]:
        """The full name of a definition and the namespace within it."""
        name: Any = schema.get("name")
        own: Any = schema.get("namespace", namespace)
        need(isinstance(name, str) and isinstance(own, str), "a name is a string")
        if "." in name:
            own, _, name = name.rpartition(".")
        parts = [*(own.split(".") if own else []), name]
        need(all(_NAME.fullmatch(part) for part in parts), f"name {name!r}")
        need(name not in PRIMITIVES | {"float", "double"}, f"{name} is a primitive type")
        full = ".".join(parts)
        need(full not in self._taken, f"{full} twice")
        self._taken.add(full)
        return full, own

    def _enum(self, schema: dict[str, Any], name: str, _inner: str, logical: Any) -> Type:
        symbols: Any = schema.get("symbols")
        need(isinstance(symbols, list), "an enum without symbols")
        need(all(isinstance(s, str) and _NAME.fullmatch(s) for s in symbols), "a symbol is a name")
        need(len(set(symbols)) == len(symbols), "a symbol twice")
        need("default" not in schema or schema["default"] in symbols, "the default of an enum is a symbol of it")
        return Type("enum", name, logical, symbols=tuple(symbols))

    def _fixed(self, schema: dict[str, Any], name: str, _inner: str, logical: Any) -> Type:
        size: Any = schema.get("size")
        need(isinstance(size, int) and not isinstance(size, bool) and size > 0, "the size of a fixed")
        return Type("fixed", name, logical, size=size)

    def _record(self, schema: dict[str, Any], name: str, inner: str, logical: Any) -> Type:
        listed: Any = schema.get("fields")
        need(isinstance(listed, list) and all(isinstance(entry, dict) for entry in listed), "a record without fields")
        fields: list[tuple[str, Type]] = []
        for entry in listed:
            label = entry.get("name")
            need(isinstance(label, str) and _NAME.fullmatch(label) is not None, f"field {label!r}")
            need(label not in dict(fields) and "type" in entry, f"field {label}")
            fields.append((label, self.type(entry["type"], inner)))
        return Type("record", name, logical, fields=tuple(fields))
