"""The types that a slot may have (protocol section 7), read from the JSON of an Avro schema, and what fits them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from tocsin.errors import SchemaError

INT = range(-(2**31), 2**31)
LONG = range(-(2**63), 2**63)

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_SIMPLE = frozenset({"boolean", "int", "long", "bytes", "string"})
_LOGICAL = {"date": "int", "timestamp-millis": "long"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Type:
    """T of a slot's `["null", T]`, or the type of an array's items, or of a field of a record in an array.

    `kind` is string, bytes, boolean, int, long, fixed, enum, array or record. `logical` is date (on int),
    timestamp-millis (on long) or None; values are always those of the base type: days, milliseconds.
    """

    kind: str
    name: str = ""
    logical: str | None = None
    symbols: tuple[str, ...] = ()
    size: int = 0
    items: "Type | None" = None
    fields: "tuple[tuple[str, Type], ...]" = ()

    def avro(self, numbers: Iterator[int] | None = None) -> Any:
        """Avro JSON with the same encoding that needs nothing else: each named type is written out, under a new name."""
        numbers = numbers or count()
        match self.kind:
            case "array":
                return {"type": "array", "items": self.items and self.items.avro(numbers)}
            case "fixed":
                return {"type": "fixed", "name": f"t{next(numbers)}", "size": self.size}
            case "enum":
                return {"type": "enum", "name": f"t{next(numbers)}", "symbols": list(self.symbols)}
            case "record":
                fields = [{"name": name, "type": of.avro(numbers)} for name, of in self.fields]
                return {"type": "record", "name": f"t{next(numbers)}", "fields": fields}
            case _:
                return self.kind

    def bounds(self) -> range:
        """The integers that an int or long can hold; empty for every other type."""
        return {"int": INT, "long": LONG}.get(self.kind, range(0))


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value, or a part of one, that its type cannot hold: where in it, the part itself, and what would fit."""

    place: str
    value: Any
    expected: str


def misfits(of: Type, value: Any, place: str = "") -> Iterator[Misfit]:
    """Every part of `value` that `of` cannot hold. A string must be encodable in UTF-8: no lone surrogates."""
    if of.kind == "array" and of.items is not None:
        if not isinstance(value, list | tuple):
            yield Misfit(place, value, "a list")
            return
        for i, item in enumerate(value):
            yield from misfits(of.items, item, f"{place}[{i}]")
    elif of.kind == "record":
        yield from _record_misfits(of, value, place)
    elif not _holds(of, value):
        yield Misfit(place, value, describe(of))


def describe(of: Type) -> str:
    """What a value of this type is, said to a person."""
    if of.logical == "date":
        return "a date (days since 1970-01-01, an int)"
    if of.logical == "timestamp-millis":
        return "a time (milliseconds since 1970-01-01T00:00Z, a long)"
    words = {
        "string": "a text (Unicode without lone surrogates)",
        "bytes": "bytes",
        "boolean": "true or false",
        "int": "a whole number of 32 bits",
        "long": "a whole number of 64 bits",
        "fixed": f"{of.size} bytes",
        "enum": "one of " + ", ".join(of.symbols),
        "array": "a list",
        "record": "a table with " + ", ".join(name for name, _ in of.fields),
    }
    return words[of.kind]


def _holds(of: Type, value: Any) -> bool:
    match of.kind:
        case "string":
            return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)
        case "bytes":
            return isinstance(value, bytes)
        case "fixed":
            return isinstance(value, bytes) and len(value) == of.size
        case "boolean":
            return isinstance(value, bool)
        case "enum":
            return isinstance(value, str) and value in of.symbols
        case _:
            return isinstance(value, int) and not isinstance(value, bool) and value in of.bounds()


def _record_misfits(of: Type, value: Any, place: str) -> Iterator[Misfit]:
    if not isinstance(value, Mapping):
        yield Misfit(place, value, describe(of))
        return
    names = [name for name, _ in of.fields]
    for name in value:
        if name not in names:
            yield Misfit(f"{place}.{name}", name, "no such part; it has " + ", ".join(names))
    for name, part in of.fields:
        if name in value:
            yield from misfits(part, value[name], f"{place}.{name}")
        else:
            yield Misfit(f"{place}.{name}", None, describe(part))


class TypeReader:
    """Reads the types of one schema file in the order of the file; a name stands for a type defined earlier.

    Every breach of protocol section 7 is a `SchemaError`.
    """

    def __init__(self, record_name: str) -> None:
        """`record_name` is the full name of the record itself, which may not be used within it."""
        self._named: dict[str, Type] = {}
        self._taken = {record_name}

    def slot(self, spec: Any, namespace: str, place: str) -> Type:
        """T of `["null", T]`."""
        if not isinstance(spec, list) or len(spec) != 2 or spec[0] != "null":
            raise SchemaError('the type is not ["null", T]', place=place)
        return self._read(spec[1], namespace, place, within="")

    def _read(self, spec: Any, namespace: str, place: str, within: str) -> Type:
        """`within` is "" for a slot, "array" for an array's items, "record" for a field of such a record."""
        named = isinstance(spec, str)
        if named:
            spec = {"type": spec}
        if not isinstance(spec, dict) or not isinstance(kind := spec.get("type"), str):
            raise SchemaError("a type is neither a name nor an object whose type is a name", place=place)
        logical = self._logical(spec, kind, place)
        if kind in _SIMPLE:
            return Type(kind, logical=logical)
        if kind in _PRIMITIVES:
            raise SchemaError(f"{kind} is no type of a slot", place=place)
        if kind == "array":
            _check_flat(kind, within, place)
            return Type("array", items=self._read(spec.get("items"), namespace, place, within="array"))
        if kind in {"fixed", "enum", "record"}:
            _check_flat(kind, within, place)
            return self._define(spec, kind, namespace, place)
        full = kind if "." in kind else _full(namespace, kind)
        if not named or full not in self._named:
            raise SchemaError(f"{kind} is no type, or none defined earlier in the file", place=place)
        _check_flat(self._named[full].kind, within, place)
        return self._named[full]

    def _logical(self, spec: dict[str, Any], kind: str, place: str) -> str | None:
        if "logicalType" not in spec:
            return None
        logical = spec["logicalType"]
        if not isinstance(logical, str) or _LOGICAL.get(logical) != kind:
            raise SchemaError(
                f"logical type {logical!r} on {kind}; only date on int and timestamp-millis on long occur", place=place
            )
        return logical

    def _define(self, spec: dict[str, Any], kind: str, namespace: str, place: str) -> Type:
        full = full_name(spec, namespace, place)
        if full in self._taken:
            raise SchemaError(f"{full} is defined twice", place=place)
        self._taken.add(full)
        if kind == "fixed":
            size = spec.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise SchemaError(f"{full}: the size of a fixed is a whole number above 0", place=place)
            made = Type("fixed", full, size=size)
        elif kind == "enum":
            made = Type("enum", full, symbols=_symbols(spec, full, place))
        else:
            made = Type("record", full, fields=self._record_fields(spec, full, place))
        self._named[full] = made
        return made

    def _record_fields(self, spec: dict[str, Any], full: str, place: str) -> tuple[tuple[str, Type], ...]:
        namespace = full.rpartition(".")[0]
        fields = spec.get("fields")
        if not isinstance(fields, list) or not fields:
            raise SchemaError(f"{full}: a record in an array has at least one field", place=place)
        read: dict[str, Type] = {}
        for field in fields:
            name = field_name(field, place)
            if name in read:
                raise SchemaError(f"{full}: {name} occurs twice", place=place)
            read[name] = self._read(field.get("type"), namespace, f"{place}.{name}", within="record")
        return tuple(read.items())


def full_name(spec: Mapping[str, Any], namespace: str, place: str) -> str:
    """The full name of a named type, by Avro's rules; SchemaError if it is none, or a primitive's."""
    name, own = spec.get("name"), spec.get("namespace", namespace)
    if not isinstance(name, str) or not isinstance(own, str):
        raise SchemaError("a named type has a name, and a namespace only as text", place=place)
    full = name if "." in name else _full(own, name)
    parts = full.split(".")
    if not all(_NAME.fullmatch(part) for part in parts) or parts[-1] in _PRIMITIVES:
        raise SchemaError(f"{full!r} is no name of a type", place=place)
    return full


def field_name(field: Any, place: str) -> str:
    """The name of a field of a record; SchemaError if it has none of Avro's form."""
    name = field.get("name") if isinstance(field, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SchemaError(f"a field without a name of letters, digits and _: {name!r}", place=place)
    return name


def _check_flat(kind: str, within: str, place: str) -> None:
    """Slots are flat: an array stands in nothing, a record only in an array."""
    if (kind == "array" and within) or (kind == "record" and within != "array"):
        raise SchemaError(f"{kind} may not stand here: slots are flat", place=place)


def _full(namespace: str, name: str) -> str:
    return f"{namespace}.{name}" if namespace else name


def _symbols(spec: Mapping[str, Any], full: str, place: str) -> tuple[str, ...]:
    symbols = spec.get("symbols")
    if (
        not isinstance(symbols, list)
        or not symbols
        or not all(isinstance(s, str) and _NAME.fullmatch(s) for s in symbols)
    ):
        raise SchemaError(f"{full}: symbols are a list of names", place=place)
    if len(set(symbols)) != len(symbols):
        raise SchemaError(f"{full}: a symbol occurs twice", place=place)
    if "default" in spec and spec["default"] not in symbols:
        raise SchemaError(f"{full}: the default is none of the symbols", place=place)
    return tuple(symbols)
