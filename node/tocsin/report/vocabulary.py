"""Whether values make a report: every problem at once, then the slots (issue point 1.2; protocol section 7).

Values are those of the wire by field name: dates are days, times milliseconds, enums symbols, records mappings, arrays
lists. None and an absent name both stand for a null. `tocsin.report.document` reads them from what people write.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from tocsin.errors import InputError
from tocsin.report.incident_rules import RULES
from tocsin.report.ladders import UNDEFINED, compose
from tocsin.report.problem import Problem, VocabularyError, shortened
from tocsin.report.schema import HEADER_NAMES, Field, Schema
from tocsin.report.texts import write
from tocsin.report.types import misfits

MAX_VALUES: Final = 196_608
"""Bytes of all values of a report together (protocol section 2)."""


def problems(values: Mapping[str, Any], schema: Schema) -> list[Problem]:
    """Every problem of a report at once, in the order of the schema; empty if it can be encoded."""
    found = [_unknown(name, schema) for name in values if schema.named(name) is None]
    fitting: dict[str, Any] = {}
    for of in schema.fields:
        value = values.get(of.name)
        wrong = list(_misfits(of, value))
        if not wrong:
            try:
                of.encode(value)
                fitting[of.name] = value
            except InputError as fault:
                wrong = [Problem(of.name, fault.thing, fault.remedy)]
        found += wrong
    if schema.name == "incident":
        found += [problem for rule in RULES for problem in rule(fitting)]
    named = {problem.field for problem in found}
    found += [problem for problem in _ladders(fitting, schema) if problem.field not in named]
    size = sum(map(len, _encoded(fitting if found else complete(fitting, schema), schema)))
    if size > MAX_VALUES:
        right = f"at most {MAX_VALUES:,}: shorten the longest, or name it in evidence with its digest"
        found.append(Problem("all fields together", f"{size:,} bytes", right))
    return found


def complete(values: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """The values with every coarser rung filled from its finer one, and sets as the wire orders them.

    Values must be free of `problems`. A rung that is given stays; nulls are left out.
    """
    filled = {name: value for name, value in values.items() if value is not None}
    for finest in schema.fields:
        if finest.rung is None:
            for step in schema.coarser(finest.index):
                of, rung = schema.fields[step], schema.fields[step].rung
                finer = schema.fields[rung.of].name if rung else ""
                if rung and of.name not in filled and finer in filled:
                    filled[of.name] = compose([rung.by], filled[finer])
    return {of.name: of.in_order(filled[of.name]) for of in schema.fields if of.name in filled}


def encode_slots(values: Mapping[str, Any], schema: Schema) -> tuple[bytes, ...]:
    """The value of every slot of the report, completed; `VocabularyError` with all problems where there is one."""
    found = problems(values, schema)
    if found:
        raise VocabularyError(found)
    return _encoded(complete(values, schema), schema)


def _encoded(values: Mapping[str, Any], schema: Schema) -> tuple[bytes, ...]:
    return tuple(of.encode(values.get(of.name)) for of in schema.fields)


def _unknown(name: str, schema: Schema) -> Problem:
    if name in HEADER_NAMES:
        return Problem(name, "a part of the header", "no field of the report: leave it out here")
    near = get_close_matches(name, [of.name for of in schema.fields], n=1)
    right = f"perhaps {near[0]}" if near else f"a field of {schema.id}"
    return Problem(shortened(name).strip("'"), "an unknown field", right)


def _misfits(of: Field, value: Any) -> Iterator[Problem]:
    if value is None:
        return
    for misfit in misfits(of.type, value):
        right = misfit.expected
        near = get_close_matches(str(misfit.value).upper(), right.removeprefix("one of ").split(", "), n=1)
        if right.startswith("one of ") and near:
            right = f"{right}; perhaps {near[0]}"
        yield Problem(of.name + misfit.place, shortened(misfit.value), right)


def _ladders(fitting: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    """Rungs that do not follow from their finer ones, and values from which no rung can be made."""
    given = [of for of in schema.fields if fitting.get(of.name) is not None]
    values = {of.index: of.in_order(fitting[of.name]) for of in given}
    for i, coarser in schema.disagreements(values):
        of, expected = schema.fields[coarser], compose(schema.path(i, coarser), values[i])
        if expected is not UNDEFINED:
            right = (
                f"{shortened(write(of.type, expected))}, as {schema.fields[i].name} has it; left out, it is filled in"
            )
            yield Problem(of.name, shortened(write(of.type, values[coarser])), right)
    for of in given:
        steps = schema.coarser(of.index)
        if steps and compose(schema.path(of.index, steps[-1]), values[of.index]) is UNDEFINED:
            right = f"a value of which {schema.fields[steps[0]].name} can be made"
            yield Problem(of.name, shortened(write(of.type, values[of.index])), right)
