"""Reads `when`: tests over closed domains only, so that a policy can be analysed exactly, not only run (design 4)."""

from __future__ import annotations

import re
from typing import Any

from tocsin.policy.conditions import AtLeast, AtMost, Condition, HeaderTest, Is, OneOf, Predicate, SlotTest
from tocsin.policy.places import Path
from tocsin.policy.problems import Problems, shown
from tocsin.report.ladders import NO_REGION
from tocsin.report.regions import REGIONS
from tocsin.report.schema import Field, Schema
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.keys import is_party_id

HEADER_FIELDS = ("origin", "stage", "tlp", "exercise")

_COMPARISON = re.compile(r"(>=|<=) (0|-?[1-9][0-9]{0,18})")
_TLP = re.compile(r"(>=|<=) ([A-Z_]+)")


class Conditions:
    """Reads conditions against one schema."""

    def __init__(self, schema: Schema, problems: Problems) -> None:
        """`problems` takes what cannot be read."""
        self._schema = schema
        self._problems = problems

    def read(self, path: Path, value: Any, *, grants: bool) -> Condition:
        """The condition of a rule; `grants` says of which sort, since `tlp` bounds each from its own side."""
        header: list[HeaderTest] = []
        slots: list[SlotTest] = []
        for name, form in self._problems.table(path, value).items():
            at = (*path, name)
            if name in HEADER_FIELDS:
                predicate = self._header_test(at, name, form, grants=grants)
                if predicate is not None:
                    header.append(HeaderTest(name, predicate))
                continue
            field = self._schema.named(name)
            if field is None:
                known = [*HEADER_FIELDS, *(f.name for f in self._schema.fields)]
                self._problems.unknown(at, "field to test", name, known)
                continue
            predicate = self._slot_test(at, field, form)
            if predicate is not None:
                rungs = tuple((r, self._schema.path(field.index, r)) for r in self._schema.coarser(field.index))
                slots.append(SlotTest(field.index, name, field.type, predicate, rungs))
        return Condition(tuple(header), tuple(slots))

    def _header_test(self, at: Path, name: str, form: Any, *, grants: bool) -> Predicate | None:
        if name == "tlp":
            return self._tlp(at, form, grants=grants)
        if name == "exercise":
            return self._boolean(at, form)
        labels = self._problems.texts(at, form, "labels")
        for place, label in labels:
            if name == "stage" and label not in Stage.__members__:
                self._problems.unknown(place, "stage", label, Stage.__members__)
            if name == "origin" and not is_party_id(label):
                self._problems.add(place, f"{label!r} is no party id")
        return OneOf(frozenset(label for _, label in labels))

    def _tlp(self, at: Path, form: Any, *, grants: bool) -> Predicate | None:
        """A grant only up to a TLP, a restriction only from one: so a stricter TLP never discloses more."""
        sign = "<=" if grants else ">="
        match = _TLP.fullmatch(form) if isinstance(form, str) else None
        if match is None or match[1] != sign or match[2] not in Tlp.__members__:
            whose = "a grant" if grants else "a restriction"
            levels = ", ".join(Tlp.__members__)
            self._problems.add(
                at, f"{shown(form)} is no test of tlp in {whose}", f'Write "{sign} LEVEL", one of {levels}'
            )
            return None
        n = Tlp[match[2]].value
        return AtMost(n) if grants else AtLeast(n)

    def _boolean(self, at: Path, form: Any) -> Predicate | None:
        if not isinstance(form, bool):
            self._problems.add(at, f"{shown(form)} is no test of a boolean", "Write true or false")
            return None
        return Is(form)

    def _slot_test(self, at: Path, field: Field, form: Any) -> Predicate | None:
        of = field.type
        if of.logical is None and of.kind in {"int", "long"}:
            return self._comparison(at, field, form)
        if of.kind == "boolean":
            return self._boolean(at, form)
        labels = self._labels_of(field)
        if labels is None:
            self._problems.add(
                at,
                f"{field.name} cannot be tested: its domain is not closed",
                "Test a number, a boolean, an enumeration, or countries and their regions",
            )
            return None
        given = self._problems.texts(at, form, "labels")
        for place, label in given:
            if label not in labels:
                self._problems.unknown(place, f"label of {field.name}", label, labels)
        return OneOf(frozenset(label for _, label in given))

    def _comparison(self, at: Path, field: Field, form: Any) -> Predicate | None:
        match = _COMPARISON.fullmatch(form) if isinstance(form, str) else None
        if match is None:
            self._problems.add(at, f"{shown(form)} is no test of a number", 'Write ">= n" or "<= n" with one space')
            return None
        n = int(match[2])
        if n not in field.type.bounds():
            self._problems.add(at, f"{n} is outside what {field.name} can hold")
        return AtLeast(n) if match[1] == ">=" else AtMost(n)

    def _labels_of(self, field: Field) -> frozenset[str] | None:
        """The closed domain of an enumeration or of a rung of a region ladder; None for everything else."""
        of = field.type.items if field.type.kind == "array" and field.type.items else field.type
        if of.kind == "enum":
            return frozenset(of.symbols)
        if of.kind != "string" or field.type.kind != "array":
            return None
        if field.rung is not None:  # an array of strings is the rung of nothing but region/1
            return frozenset(REGIONS.values()) | {NO_REGION}
        return frozenset(REGIONS) if self._schema.coarser(field.index) else None
