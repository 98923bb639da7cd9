"""Reports as people write and read them: JSON or TOML, by field name."""

from collections.abc import Mapping
from typing import Any

from tocsin.report.problem import Problem, VocabularyError, shortened
from tocsin.report.schema import Schema
from tocsin.report.texts import Unreadable, read, write
from tocsin.report.vocabulary import problems


def from_document(document: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Values by field name, as `tocsin.report.vocabulary` takes them; `VocabularyError` with all problems at once.

    Dates are `YYYY-MM-DD`, times ISO 8601 with their offset (finer than milliseconds is cut off), bytes hex; the values
    that a TOML reader makes of dates and times do as well, and so do the numbers of the wire.
    """
    values: dict[str, Any] = {}
    found: list[Problem] = []
    for name, written in document.items():
        of = schema.named(name)
        try:
            values[name] = written if of is None or written is None else read(of.type, written)
        except Unreadable as fault:
            found.append(Problem(name + fault.place, shortened(fault.value), fault.expected))
    found += problems(values, schema)
    if found:
        raise VocabularyError(found)
    return values


def to_document(values: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """What JSON can hold, by field name in the order of the schema; None for a null. A name that is absent stays so."""
    return {
        of.name: None if values[of.name] is None else write(of.type, values[of.name])
        for of in schema.fields
        if of.name in values
    }
