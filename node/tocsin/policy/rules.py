"""A policy as it was understood: frozen values, all names resolved against exactly one schema version (design 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tocsin.policy.conditions import Condition
from tocsin.report.schema import Schema
from tocsin.wire.hop import AudienceKind


class Effect(StrEnum):
    """What a rule does with the fields that it names."""

    GRANT = "GRANT"  # discloses them, after a while where it says so
    FOREVER = "FOREVER"  # withholds them without end
    EMBARGO = "EMBARGO"  # withholds them for a while
    HOLD = "HOLD"  # withholds them until an officer approves


@dataclass(frozen=True, slots=True)
class Audience:
    """One reader, or a group of readers with one stream."""

    name: str
    kind: AudienceKind
    accepts_exercises: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[rule]]`.

    `fields` and `reveals` are mask bits over the policy's schema, ladders closed: a grant has the coarser rungs of what
    it names, a restriction the finer ones, `reveals` the coarser ones. `minutes` is the length of `after` or `embargo`,
    0 where there is none.
    """

    id: str
    to: frozenset[str]
    effect: Effect
    minutes: int
    fields: int
    condition: Condition
    reveals: int
    basis: str


@dataclass(frozen=True)
class Policy:
    """One loaded document. `rules_for` has every audience's rules by id; nothing depends on the order of the text.

    `effective_minute` is the first minute in force; `onward` has mask bits per kind, coarser rungs included.
    """

    id: str
    version: int
    schema: Schema
    jurisdiction: str
    effective_minute: int
    audiences: Mapping[str, Audience]
    onward: Mapping[AudienceKind, int]
    rules: tuple[Rule, ...]
    text: bytes = field(repr=False)
    sha256: bytes
    rules_for: Mapping[str, tuple[Rule, ...]] = field(repr=False)

    def serves(self, name: str, major: str | int) -> bool:
        """Whether it serves reports of this schema name and major."""
        return self.schema.name == name and str(self.schema.major) == str(major)

    def audiences_of(self, kind: AudienceKind) -> tuple[str, ...]:
        """The names of its audiences of one kind."""
        return tuple(name for name, audience in self.audiences.items() if audience.kind is kind)
