"""Lists of fields in a policy: names, `@class`, `"*"`; and the ladders that close them (design 4)."""

from __future__ import annotations

from typing import Any

from tocsin.policy.places import Path
from tocsin.policy.problems import Problems
from tocsin.report.schema import CLASSES, Schema

EVERY = "*"


class FieldLists:
    """Reads lists of fields against exactly one schema version; a field is a mask bit."""

    def __init__(self, schema: Schema, problems: Problems) -> None:
        """`problems` takes what cannot be read."""
        self._schema = schema
        self._problems = problems

    def read(self, path: Path, value: Any) -> int:
        """The fields that a list names, as it stands."""
        named = 0
        for at, text in self._problems.texts(path, value, "fields"):
            named |= self._one(at, text)
        return named

    def _one(self, at: Path, text: str) -> int:
        if text == EVERY:
            return every(self._schema)
        if text.startswith("@"):
            if text[1:] not in CLASSES:
                self._problems.unknown(at, "class", text, {f"@{name}" for name in CLASSES})
            return sum(1 << field.index for field in self._schema.fields if field.cls == text[1:])
        field = self._schema.named(text)
        if field is None:
            self._problems.unknown(at, f"field of {self._schema.id}", text, [f.name for f in self._schema.fields])
            return 0
        return 1 << field.index


def every(schema: Schema) -> int:
    """Every field of the schema."""
    return (1 << len(schema.fields)) - 1


def with_coarser(schema: Schema, fields: int) -> int:
    """The fields and all their coarser rungs."""
    for field in schema.fields:
        if fields >> field.index & 1:
            fields |= sum(1 << rung for rung in schema.coarser(field.index))
    return fields


def with_finer(schema: Schema, fields: int) -> int:
    """The fields and all their finer rungs."""
    return fields | schema.finer_than(fields)
