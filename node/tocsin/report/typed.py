"""From the typed classes of incident/1.0 to the values of slots and back."""

import dataclasses
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from tocsin.errors import InputError
from tocsin.report.document import from_document
from tocsin.report.incident import Incident
from tocsin.report.schema import Schema
from tocsin.report.texts import EPOCH


def values_of(incident: Incident, schema: Schema) -> dict[str, Any]:
    """Values by field name, nulls left out; `VocabularyError` with all problems at once.

    `schema` is incident/1.0 or a later minor. Times must have an offset.
    """
    document = {name: value for name, value in dataclasses.asdict(incident).items() if value is not None}
    return from_document(document, schema)


def incident_of(values: Mapping[str, Any]) -> Incident:
    """The typed report of values by field name; what is absent is None.

    `InputError` for a name that incident/1.0 lacks, and for a date outside the years 1 to 9999, which only the wire
    can hold.
    """
    types = _types(Incident)
    for name in values:
        if name not in types:
            raise InputError("incident/1.0 has no such field", place=name)
    return Incident(
        **{name: None if value is None else _typed(types[name], value, name) for name, value in values.items()}
    )


@cache
def _types(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _typed(annotation: Any, value: Any, place: str) -> Any:
    """`value` of the wire as the annotation says: a class, `X | None`, or `tuple[X, ...]`."""
    arguments = [argument for argument in get_args(annotation) if argument not in {NoneType, ...}]
    if get_origin(annotation) is tuple:
        return tuple(_typed(arguments[0], item, place) for item in value)
    if arguments:
        return _typed(arguments[0], value, place)
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        parts = _types(annotation)
        return annotation(**{name: _typed(parts[name], value[name], place) for name in parts})
    try:
        if annotation is datetime:
            return EPOCH + timedelta(milliseconds=value)
        if annotation is date:
            return EPOCH.date() + timedelta(days=value)
    except OverflowError:
        raise InputError("this date is outside the years 1 to 9999", place=place) from None
    return annotation(value) if issubclass(annotation, StrEnum) else value
