"""Strict Avro (protocol, "Strict Avro"): exactly one byte string for every value, and nothing else is read.

The reader decides each rule where it reads, instead of decoding leniently and comparing a second encoding: a lenient
reader shows neither an int of more than 32 bits nor what a hostile length made it allocate, and the detour was measured
to be slower. fastavro is used for what it does well: Parsing Canonical Forms and their fingerprints. The property tests
hold both directions against fastavro's.

Each schema becomes one function that reads and one that writes, from Python source that is made once per schema, as the
standard library makes `__init__` of a dataclass. Every type gives its own lines, and a call per value is saved. Reading
`["null", "bytes"]`, for one, is

    number = data[at]
    at += 1
    if number == 2:
        number = data[at]
        at += 1
        if number > 127: number, at = read_varint(data, at - 1, 64)
        end = at + (number >> 1)
        if number & 1 or end > size: raise Malformed
        value = data[at:end]
        at = end
    elif number == 0: value = None
    else: raise Malformed
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

from fastavro.schema import fingerprint, to_parsing_canonical_form

_MARKER = b"\xc3\x01"
_FRAME_BYTES = 10


class Malformed(Exception):
    """The bytes are not the one strict encoding of a value of the schema."""


def parsing_canonical_form(schema: Any) -> str:
    """The Parsing Canonical Form of a parsed schema (Avro 1.12, "Parsing Canonical Form for Schemas")."""
    return str(to_parsing_canonical_form(schema))


def crc64_avro(data: bytes) -> int:
    """CRC-64-AVRO of UTF-8 text, as an unsigned number."""
    return int.from_bytes(bytes.fromhex(fingerprint(data.decode(), "CRC-64-AVRO")), "little")


def frame(schema_fingerprint: bytes, body: bytes) -> bytes:
    """An Avro single object: marker, fingerprint (8 bytes, little-endian), body."""
    return _MARKER + schema_fingerprint + body


def unframe(data: bytes) -> tuple[bytes, bytes]:
    """Fingerprint and body of an Avro single object; `Malformed` where it is short or lacks the marker."""
    if len(data) < _FRAME_BYTES or not data.startswith(_MARKER):
        raise Malformed
    return data[2:_FRAME_BYTES], data[_FRAME_BYTES:]


class Codec:
    """Reads and writes values of one schema, strictly.

    Values: records are dicts, arrays lists, enums their symbol, bytes and fixed `bytes`, unions `["null", T]` None or
    the value; logical types are read as their base type. An array with the property `"set": true` is read only if the
    encodings of its items increase strictly; it is written in the order given.
    """

    decode: Final[Callable[[bytes], Any]]
    """The value that the bytes encode; `Malformed` unless they are its one strict encoding, wholly."""
    encode: Final[Callable[[Any], bytes]]
    """The strict encoding; ValueError where the value does not fit the schema."""

    def __init__(self, schema: Any) -> None:
        """`schema` is parsed JSON, and defines every type that it names.

        ValueError where it has a form that the protocol does not use (float, double, map, recursion, other unions).
        """
        self._schema = schema
        of = _resolve(schema, "", {})
        self.decode = _function("decode", _READER, tuple(of.reading("value")))
        self.encode = _function("encode", _WRITER, tuple(of.writing("value", "")))

    @property
    def fingerprint(self) -> bytes:
        """CRC-64-AVRO of the Parsing Canonical Form, 8 bytes, little-endian."""
        return crc64_avro(parsing_canonical_form(self._schema).encode()).to_bytes(8, "little")


_READER = """
def decode(data):
    at, size = 0, len(data)
    try:
        {lines}
    except (IndexError, UnicodeDecodeError):  # the end of the bytes; text that is not well-formed UTF-8
        raise Malformed from None
    if at != size: raise Malformed
    return value
"""
_WRITER = """
def encode(value):
    out = bytearray()
    try:
        {lines}
    except KeyError as missing:
        raise ValueError(f"a record without {{missing}}") from None
    return bytes(out)
"""


@lru_cache(maxsize=512)  # most fields of a schema are of few types
def _function(name: str, around: str, lines: tuple[str, ...]) -> Callable[[Any], Any]:
    names: dict[str, Any] = {"Malformed": Malformed, "Mapping": Mapping, "read_varint": _read_varint, "varint": _varint}
    exec(around.format(lines="\n        ".join(lines)), names)  # noqa: S102 - lines of this file alone; what a schema names stands in them as literals
    made: Callable[[Any], Any] = names[name]
    return made


# --- schema to types ----------------------------------------------------------------------------------------------


class _Type(Protocol):
    """The lines of one type, in which every nested type has its own variables."""

    def reading(self, to: str) -> list[str]:
        """From `data[at:size]` to the variable `to`; `at` moves behind it. An IndexError means that bytes are missing."""
        ...

    def writing(self, value: str, place: str) -> list[str]:
        """From the expression `value` to `out`; a ValueError names the `place`."""
        ...


def _resolve(schema: Any, namespace: str, types: dict[str, _Type]) -> _Type:
    """The type of a schema; named types that it defines are added to `types` under their full names."""
    if isinstance(schema, list):
        if len(schema) != 2 or schema[0] != "null":
            raise ValueError('the only union is ["null", T]')
        return _Optional(_resolve(schema[1], namespace, types))
    if isinstance(schema, str):
        known = _PRIMITIVES.get(schema) or types.get(_full_name(schema, namespace))
        if known is None:
            raise ValueError(f"unknown type {schema!r}")
        return known
    if not isinstance(schema, dict):
        raise ValueError("a type is a name, a union or an object")  # noqa: TRY004 - callers catch one class
    kind = schema.get("type")
    if kind == "array":
        return _Array(_resolve(schema.get("items"), namespace, types), schema.get("set") is True)
    if kind in {"record", "enum", "fixed"}:
        return _define(schema, namespace, types)
    return _resolve(kind, namespace, types)


def _define(schema: dict[str, Any], namespace: str, types: dict[str, _Type]) -> _Type:
    """A named type. Its name is known only after it is whole, so that a recursive type is unknown within itself."""
    full = _full_name(schema["name"], schema.get("namespace", namespace))
    if full in types:
        raise ValueError(f"type {full!r} is defined twice")
    made: _Type
    if schema["type"] == "fixed":
        made = _Fixed(int(schema["size"]))
    elif schema["type"] == "enum":
        made = _Enum(tuple(schema["symbols"]))
    else:
        inner = full.rpartition(".")[0]
        made = _Record(tuple((field["name"], _resolve(field["type"], inner, types)) for field in schema["fields"]))
    types[full] = made
    return made


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


# --- one type each ------------------------------------------------------------------------------------------------


def _read_varint(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """The number at `at` as it stands, its sign still in bit 0, and the position after it."""
    byte = data[at]
    at += 1
    number = byte & 0x7F
    shift = 0
    while byte > 0x7F:
        byte = data[at]
        at += 1
        shift += 7
        number |= (byte & 0x7F) << shift
        if shift > bits:
            raise Malformed
    if (byte == 0 and shift) or number >> bits:  # a longer form of a short number; a number out of range
        raise Malformed
    return number, at


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_number(bits: int) -> list[str]:
    """To `number`; nearly all take one byte."""
    return ["number = data[at]", "at += 1", f"if number > 127: number, at = read_varint(data, at - 1, {bits})"]


_WRITE_NUMBER = "out.append(number) if number < 128 else out.extend(varint(number))"


def _unless(fits: str, place: str, wrong: str) -> str:
    return f"if not ({fits}): raise ValueError({(place + wrong)!r})"


def _indented(lines: Iterable[str]) -> list[str]:
    return ["    " + line for line in lines]


class _Null:
    def reading(self, to: str) -> list[str]:
        return [f"{to} = None"]

    def writing(self, value: str, place: str) -> list[str]:
        return [_unless(f"{value} is None", place, "not null")]


class _Boolean:
    def reading(self, to: str) -> list[str]:
        return ["number = data[at]", "at += 1", "if number > 1: raise Malformed", f"{to} = number == 1"]

    def writing(self, value: str, place: str) -> list[str]:
        return [_unless(f"type({value}) is bool", place, "not a boolean"), f"out.append({value})"]


@dataclass(frozen=True, slots=True)
class _Integer:
    bits: int

    def reading(self, to: str) -> list[str]:
        return [*_read_number(self.bits), f"{to} = number >> 1 ^ -(number & 1)"]

    def writing(self, value: str, place: str) -> list[str]:
        limit = 1 << (self.bits - 1)
        fits = f"type({value}) is int and {-limit} <= {value} < {limit}"
        return [
            _unless(fits, place, f"not an integer of {self.bits} bits"),
            f"number = {value} << 1 ^ {value} >> {self.bits}",
            _WRITE_NUMBER,
        ]


class _Bytes:
    def reading(self, to: str) -> list[str]:
        return [
            *_read_number(64),
            "end = at + (number >> 1)",
            "if number & 1 or end > size: raise Malformed",
            f"{to} = data[at:end]",
            "at = end",
        ]

    def writing(self, value: str, place: str) -> list[str]:
        return [
            _unless(f"type({value}) is bytes", place, "not bytes"),
            f"number = len({value}) << 1",
            _WRITE_NUMBER,
            f"out += {value}",
        ]


class _String:
    def reading(self, to: str) -> list[str]:
        return [*_Bytes().reading(to), f"{to} = {to}.decode()"]  # strict: no surrogates, no overlong forms

    def writing(self, value: str, place: str) -> list[str]:
        return [
            _unless(f"isinstance({value}, str)", place, "not a string"),
            f"raw = {value}.encode()",  # a surrogate is a UnicodeEncodeError, which is a ValueError
            *_Bytes().writing("raw", place)[1:],
        ]


_PRIMITIVES: dict[str, _Type] = {
    "null": _Null(),
    "boolean": _Boolean(),
    "int": _Integer(32),
    "long": _Integer(64),
    "bytes": _Bytes(),
    "string": _String(),
}


@dataclass(frozen=True, slots=True)
class _Fixed:
    size: int

    def reading(self, to: str) -> list[str]:
        return [f"end = at + {self.size}", "if end > size: raise Malformed", f"{to} = data[at:end]", "at = end"]

    def writing(self, value: str, place: str) -> list[str]:
        fits = f"type({value}) is bytes and len({value}) == {self.size}"
        return [_unless(fits, place, f"not {self.size} bytes"), f"out += {value}"]


@dataclass(frozen=True, slots=True)
class _Enum:
    symbols: tuple[str, ...]

    def reading(self, to: str) -> list[str]:
        return [*_read_number(32), "if number & 1: raise Malformed", f"{to} = {self.symbols!r}[number >> 1]"]

    def writing(self, value: str, place: str) -> list[str]:
        return [
            _unless(f"{value} in {self.symbols!r}", place, "not one of the symbols"),
            f"number = {self.symbols!r}.index({value}) << 1",
            _WRITE_NUMBER,
        ]


@dataclass(frozen=True, slots=True)
class _Optional:
    inner: _Type

    def reading(self, to: str) -> list[str]:
        return [
            "number = data[at]",
            "at += 1",
            "if number == 2:",  # the zigzag form of branch 1
            *_indented(self.inner.reading(to)),
            f"elif number == 0: {to} = None",
            "else: raise Malformed",
        ]

    def writing(self, value: str, place: str) -> list[str]:
        return [
            f"if {value} is None: out.append(0)",
            "else:",
            *_indented(["out.append(2)", *self.inner.writing(value, place)]),
        ]


@dataclass(frozen=True, slots=True)
class _Array:
    item: _Type
    is_set: bool

    def reading(self, to: str) -> list[str]:
        item, before = f"{to}_item", f"{to}_before"
        one = [*self.item.reading(item), f"{to}.append({item})"]
        if self.is_set:
            begin, raw = f"{to}_begin", f"{to}_raw"
            in_order = f"if {before} is not None and {raw} <= {before}: raise Malformed"
            one = [f"{begin} = at", *one, f"{raw} = data[{begin}:at]", in_order, f"{before} = {raw}"]
        return [
            f"{to}, {before} = [], None",
            *_read_number(64),
            "if number:",
            "    if number & 1 or number >> 1 > size - at: raise Malformed",  # every item takes at least one byte
            "    for _ in range(number >> 1):",
            *_indented(_indented(one)),
            "    if data[at] != 0: raise Malformed",  # one block only
            "    at += 1",
        ]

    def writing(self, value: str, place: str) -> list[str]:
        item = f"{value}_item"
        return [
            _unless(f"isinstance({value}, (list, tuple))", place, "not an array"),
            f"if {value}:",
            f"    number = len({value}) << 1",
            f"    {_WRITE_NUMBER}",
            f"    for {item} in {value}:",
            *_indented(_indented(self.item.writing(item, place))),
            "out.append(0)",
        ]


@dataclass(frozen=True, slots=True)
class _Record:
    fields: tuple[tuple[str, _Type], ...]

    def reading(self, to: str) -> list[str]:
        parts = [(f"{to}_{i}", name, of) for i, (name, of) in enumerate(self.fields)]
        whole = ", ".join(f"{name!r}: {part}" for part, name, _ in parts)
        return [*(line for part, _, of in parts for line in of.reading(part)), f"{to} = {{{whole}}}"]

    def writing(self, value: str, place: str) -> list[str]:
        fits = f"isinstance({value}, Mapping) and len({value}) == {len(self.fields)}"
        lines = [_unless(fits, place, "not a record of these fields")]
        for i, (name, of) in enumerate(self.fields):
            lines += [f"{value}_{i} = {value}[{name!r}]", *of.writing(f"{value}_{i}", f"{place}{name}: ")]
        return lines
