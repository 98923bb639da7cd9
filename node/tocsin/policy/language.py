"""The policy language: TOML text to `Policy`, or everything that is wrong with it, with line and column (design 4).

A form that this page does not know is not loaded: a policy is never half understood.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from tocsin.errors import PolicyError
from tocsin.policy.fields import EVERY, FieldLists, with_coarser, with_finer
from tocsin.policy.leak import leaks
from tocsin.policy.places import Path
from tocsin.policy.problems import Problem, Problems
from tocsin.policy.rules import Audience, Effect, Policy, Rule
from tocsin.policy.when import Conditions
from tocsin.report.schema import Schema
from tocsin.wire.hop import AudienceKind
from tocsin.wire.keys import is_party_id, matches_party_id

__all__ = ["Audience", "Effect", "Policy", "Problem", "Rule", "parse_policy", "schema_of", "validate"]

MAX_TEXT: Final = 65_000
"""Bytes of a text; a policy is published in a statement whose body holds 65,536 with its other fields."""

_KEYS = ("policy", "version", "schema", "jurisdiction", "effective_from", "audience", "sets", "onward", "rule")
_RULE_KEYS = ("id", "to", "when", "disclose", "withhold", "after", "embargo", "hold", "reveals", "basis")
_RULE_ID = re.compile(r"[a-z0-9._-]{1,64}")
_SET_NAME = re.compile(r"[A-Za-z0-9_-]+")
_JURISDICTION = re.compile(r"([A-Z]{2})?")
_COMMUNITY = re.compile(r"community-[a-z0-9-]{1,32}")
_DURATION = re.compile(r"P(?:(0|[1-9][0-9]{0,3})D|T(0|[1-9][0-9]{0,3})H)")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_MAX_VERSION = 2**31 - 1
_BELONGS = {
    "disclose": "What is given begins later by after; a rule of its own withholds, with embargo or hold",
    "withhold": "What is withheld ends by embargo or hold; after belongs to a rule that discloses",
}


def parse_policy(text: bytes | str, schema: Schema | None) -> Policy:
    """The policy of this text, against the schema version that it names (None: that one is not known here).

    `PolicyError` with the place of the first problem where `validate` finds any: a node loads nothing else.
    """
    policy, problems = _read(text, schema)
    if policy is None or problems:
        first, more = problems[0], len(problems) - 1
        also = f" (and {more} more)" if more else ""
        raise PolicyError(first.thing + also, place=first.place, remedy=first.remedy)
    return policy


def validate(text: bytes | str, schema: Schema | None) -> list[Problem]:
    """Everything that is wrong with the text, in its order; empty where `parse_policy` loads it."""
    return _read(text, schema)[1]


def schema_of(text: bytes | str) -> str | None:
    """The id of the schema that a text names, to look it up; None where the text says none."""
    try:
        named = tomllib.loads(text if isinstance(text, str) else text.decode()).get("schema")
    except (ValueError, RecursionError):  # no TOML, no UTF-8, a number of thousands of digits, nesting
        return None
    return named if isinstance(named, str) else None


def _read(text: bytes | str, schema: Schema | None) -> tuple[Policy | None, list[Problem]]:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_TEXT:
        return None, [Problem(1, 1, f"{len(raw):,} bytes are more than a policy may have ({MAX_TEXT:,})")]
    try:
        decoded = raw.decode()
        document = tomllib.loads(decoded)
    except UnicodeDecodeError:
        return None, [Problem(1, 1, "the text is not UTF-8")]
    except RecursionError:
        return None, [Problem(1, 1, "the text is nested too deeply")]
    except ValueError as fault:  # no TOML, or a number of thousands of digits
        place = _TOML_PLACE.search(str(fault))
        line, column = (int(place[1]), int(place[2])) if place and place[1] else (len(decoded.splitlines()) or 1, 1)
        return None, [Problem(line, column, _TOML_PLACE.sub("", str(fault)))]
    problems = Problems(decoded)
    named = document.get("schema")
    if schema is None or named != schema.id:
        known = f"; this is {schema.id}" if schema else ""
        thing = f"the schema {named!r} is not known here{known}" if named is not None else "'schema' is missing"
        problems.add(("schema",), thing, "Name a published version, as in incident/1.0")
        return None, problems.found
    policy = _Reader(document, schema, problems).policy(raw)
    return (None if problems.found else policy), sorted(problems.found)


class _Reader:
    """Reads one document; what is wrong goes into `problems`, and reading goes on."""

    def __init__(self, document: dict[str, Any], schema: Schema, problems: Problems) -> None:
        self._document = problems.table((), document, _KEYS)
        self._schema = schema
        self._problems = problems
        self._fields = FieldLists(schema, problems)
        self._conditions = Conditions(schema, problems)
        self._numbers: dict[str, int] = {}  # rule id → its number in the text

    def policy(self, raw: bytes) -> Policy:
        """The policy; of worth only while there are no problems."""
        audiences = {name: self._audience(name, body) for name, body in self._table("audience").items()}
        sets = self._sets(audiences)
        rules = tuple(sorted(self._rules(audiences, sets), key=lambda rule: rule.id))
        policy = Policy(
            id=self._text("policy", matches_party_id, 'an id of a-z, 0-9 and "-"'),
            version=self._version(),
            schema=self._schema,
            jurisdiction=self._text("jurisdiction", _JURISDICTION.fullmatch, "two capitals, or empty for a body"),
            effective_minute=self._effective(),
            audiences=audiences,
            onward=self._onward(),
            rules=rules,
            text=raw,
            sha256=hashlib.sha256(raw).digest(),
            rules_for={name: tuple(rule for rule in rules if name in rule.to) for name in audiences},
        )
        for rule, field, audience in () if self._problems.found else leaks(policy):
            self._problems.add(
                ("rule", self._numbers[rule.id], "when", field),
                f"rule {rule.id} tests {field}, and {audience} could infer it without being shown it",
                f'Say reveals = ["{field}"], or let every grant to {audience} give it and no restriction take it',
            )
        return policy

    def _table(self, name: str) -> dict[str, Any]:
        return self._problems.table((name,), self._document.get(name, {}))

    def _text(self, name: str, fits: Any, form: str) -> str:
        value = self._document.get(name)
        if not isinstance(value, str) or not fits(value):
            self._problems.add((name,), f"{name!r} is missing or not {form}")
            return ""
        return value

    def _version(self) -> int:
        value = self._document.get("version")
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_VERSION:
            self._problems.add(("version",), "'version' is missing or not a whole number from 1")
            return 0
        return value

    def _effective(self) -> int:
        value = self._document.get("effective_from")
        whole = isinstance(value, datetime) and value.tzinfo is not None and not value.second and not value.microsecond
        if not isinstance(value, datetime) or not whole:
            self._problems.add(
                ("effective_from",),
                "'effective_from' is missing or not a whole minute with an offset",
                "Write it as in 2026-12-01T00:00:00Z",
            )
            return 0
        return round(value.timestamp()) // 60

    def _audience(self, name: str, body: Any) -> Audience:
        path: Path = ("audience", name)
        table = self._problems.table(path, body, ("kind", "accepts_exercises"))
        kind = table.get("kind")
        if not isinstance(kind, str) or kind not in AudienceKind.__members__:
            self._problems.add((*path, "kind"), f"{kind!r} is no kind of audience", "Kinds: " + ", ".join(AudienceKind))
            kind = "MEMBER"
        elif not _is_audience_of(AudienceKind(kind), name):
            self._problems.add(
                path,
                f"{name!r} is no name for an audience of kind {kind}",
                "PUBLIC is public, COMMUNITY is community-…, every other name is a party id",
            )
        exercises = table.get("accepts_exercises", False)
        if not isinstance(exercises, bool):
            self._problems.add((*path, "accepts_exercises"), "'accepts_exercises' is neither true nor false")
        return Audience(name, AudienceKind(kind), bool(exercises))

    def _sets(self, audiences: Mapping[str, Audience]) -> dict[str, frozenset[str]]:
        sets = {}
        for name, members in self._table("sets").items():
            path: Path = ("sets", name)
            if name in audiences or not _SET_NAME.fullmatch(name):
                self._problems.add(path, f"{name!r} is no name for a set: an audience has it, or it is no plain word")
            given = self._problems.texts(path, members, "audiences")
            for at, member in given:
                if member in self._table("sets"):
                    self._problems.add(at, f"{member!r} is a set", "A set names audiences alone: write its members")
                elif member not in audiences:
                    self._problems.unknown(at, "audience", member, audiences)
            sets[name] = frozenset(member for _, member in given)
        return sets

    def _onward(self) -> dict[AudienceKind, int]:
        onward = {}
        for kind, fields in self._problems.table(("onward",), self._document.get("onward", {}), AudienceKind).items():
            named = self._fields.read(("onward", kind), fields)
            if kind in AudienceKind.__members__:
                onward[AudienceKind(kind)] = with_coarser(self._schema, named)
        return onward

    def _rules(self, audiences: Iterable[str], sets: Mapping[str, frozenset[str]]) -> Iterable[Rule]:
        bodies = self._document.get("rule", [])
        if not isinstance(bodies, list):
            self._problems.add(("rule",), "rules are not written as [[rule]]")
            return
        for number, body in enumerate(bodies):
            path: Path = ("rule", number)
            table = self._problems.table(path, body, _RULE_KEYS)
            effect, minutes = self._effect(path, table)
            grants = effect is Effect.GRANT
            key = "disclose" if grants else "withhold"
            named = self._fields.read((*path, key), table[key]) if key in table else 0
            yield Rule(
                id=self._rule_id(path, table, number),
                to=self._to((*path, "to"), table.get("to"), frozenset(audiences), sets),
                effect=effect,
                minutes=minutes,
                fields=with_coarser(self._schema, named) if grants else with_finer(self._schema, named),
                condition=self._conditions.read((*path, "when"), table.get("when", {}), grants=grants),
                reveals=self._reveals(path, table),
                basis=self._basis(path, table),
            )

    def _effect(self, path: Path, table: Mapping[str, Any]) -> tuple[Effect, int]:
        """What the rule does, and for how many minutes."""
        if ("disclose" in table) == ("withhold" in table):
            remedy = "Give it one of them; two rules can do both"
            self._problems.add(path, "a rule has either disclose or withhold", remedy)
            return Effect.FOREVER, 0
        verb, allowed = ("disclose", ("after",)) if "disclose" in table else ("withhold", ("embargo", "hold"))
        for key in ("after", "embargo", "hold"):
            if key in table and key not in allowed:
                self._problems.add((*path, key), f"{key!r} does not belong to {verb}", _BELONGS[verb])
        if "disclose" in table:
            return Effect.GRANT, self._duration((*path, "after"), table.get("after", "P0D"))
        if "embargo" in table and "hold" in table:
            self._problems.add((*path, "hold"), "a restriction has an embargo or a hold, not both")
        if "hold" in table:
            if table["hold"] is not True:
                self._problems.add((*path, "hold"), "'hold' is not true", "Leave it out where nothing is held")
            return Effect.HOLD, 0
        if "embargo" in table:
            return Effect.EMBARGO, self._duration((*path, "embargo"), table["embargo"])
        return Effect.FOREVER, 0

    def _duration(self, path: Path, value: Any) -> int:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            self._problems.add(
                path, f"{value!r} is no duration", "Write PnD or PTnH, n up to 9999, as in P30D or PT12H"
            )
            return 0
        return int(match[1]) * 1_440 if match[1] else int(match[2]) * 60

    def _rule_id(self, path: Path, table: Mapping[str, Any], number: int) -> str:
        value = table.get("id")
        if not isinstance(value, str) or not _RULE_ID.fullmatch(value):
            self._problems.add((*path, "id"), "the rule's id is missing or not 1 to 64 of a-z, 0-9, dot, _ and -")
            return ""
        if value in self._numbers:
            thing = f"the rule id {value!r} is used twice, first by rule {self._numbers[value] + 1} of the text"
            self._problems.add((*path, "id"), thing, "Give each rule an id of its own")
        self._numbers.setdefault(value, number)
        return value

    def _to(
        self, path: Path, value: Any, audiences: frozenset[str], sets: Mapping[str, frozenset[str]]
    ) -> frozenset[str]:
        reached: frozenset[str] = frozenset()
        for at, name in self._problems.texts(path, value, "audiences and sets"):
            if name == EVERY:
                reached |= audiences
            elif name in audiences:
                reached |= {name}
            elif name in sets:
                reached |= sets[name]
            else:
                self._problems.unknown(at, "audience or set", name, [*audiences, *sets])
        return reached & audiences

    def _reveals(self, path: Path, table: Mapping[str, Any]) -> int:
        if "reveals" not in table:
            return 0
        return with_coarser(self._schema, self._fields.read((*path, "reveals"), table["reveals"]))

    def _basis(self, path: Path, table: Mapping[str, Any]) -> str:
        basis = table.get("basis", "")
        if not isinstance(basis, str):
            self._problems.add((*path, "basis"), "'basis' is no text")
            return ""
        return basis


def _is_audience_of(kind: AudienceKind, name: str) -> bool:
    if kind is AudienceKind.PUBLIC:
        return name == "public"
    if kind is AudienceKind.COMMUNITY:
        return _COMMUNITY.fullmatch(name) is not None
    return is_party_id(name)
