"""Strict Avro (protocol, "Strict Avro"): exactly one byte string for every value, and nothing else is read.

The reader decides each rule where it reads, instead of decoding leniently and comparing a second encoding: a lenient
reader shows neither an int of more than 32 bits nor what a hostile length made it allocate, and the detour was measured
to be slower. fastavro is used for what it does well: Parsing Canonical Forms and their fingerprints. The property tests
hold both directions against fastavro's.

Reading and writing are compiled once per schema, to one function per type: a reader takes (bytes, position) and gives
(value, position after it), a writer appends to a list of byte strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastavro.schema import fingerprint, to_parsing_canonical_form

_Read = Callable[[bytes, int], tuple[Any, int]]
_Write = Callable[[Any, list[bytes]], None]
_Type = tuple[_Read, _Write]

_MARKER = b"\xc3\x01"
_FRAME_BYTES = 10
_INT_BITS = 32
_LONG_BITS = 64


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
    the value; logical types are read as their base type.
    """

    def __init__(self, schema: Any) -> None:
        """`schema` is parsed JSON, and defines every type that it names.

        ValueError where it has a form that the protocol does not use (float, double, map, recursion, other unions).
        """
        self._schema = schema
        self._read, self._write = _compile(schema, "", {})

    @property
    def fingerprint(self) -> bytes:
        """CRC-64-AVRO of the Parsing Canonical Form, 8 bytes, little-endian."""
        return crc64_avro(parsing_canonical_form(self._schema).encode()).to_bytes(8, "little")

    def decode(self, data: bytes) -> Any:
        """The value that the bytes encode; `Malformed` unless they are its one strict encoding, wholly."""
        try:
            value, end = self._read(data, 0)
        except (IndexError, UnicodeDecodeError):  # the end of the bytes; text that is not well-formed UTF-8
            raise Malformed from None
        if end != len(data):
            raise Malformed
        return value

    def encode(self, value: Any) -> bytes:
        """The strict encoding; ValueError where the value does not fit the schema."""
        out: list[bytes] = []
        self._write(value, out)
        return b"".join(out)


# --- schema to functions ------------------------------------------------------------------------------------------


def _compile(schema: Any, namespace: str, types: dict[str, _Type]) -> _Type:
    """Reader and writer of a schema; named types that it defines are added to `types` under their full names."""
    if isinstance(schema, list):
        if len(schema) != 2 or schema[0] != "null":
            raise ValueError('the only union is ["null", T]')
        return _optional(_compile(schema[1], namespace, types))
    if isinstance(schema, str):
        known = _PRIMITIVES.get(schema) or types.get(_full_name(schema, namespace))
        if known is None:
            raise ValueError(f"unknown type {schema!r}")
        return known
    if not isinstance(schema, dict):
        raise ValueError("a type is a name, a union or an object")  # noqa: TRY004 - callers catch one class
    kind = schema.get("type")
    if kind == "array":
        return _array(_compile(schema.get("items"), namespace, types))
    if kind in {"record", "enum", "fixed"}:
        return _define(schema, namespace, types)
    return _compile(kind, namespace, types)


def _define(schema: dict[str, Any], namespace: str, types: dict[str, _Type]) -> _Type:
    """A named type. Its name is known only after it is whole, so that a recursive type does not compile."""
    full = _full_name(schema["name"], schema.get("namespace", namespace))
    if full in types:
        raise ValueError(f"type {full!r} is defined twice")
    if schema["type"] == "fixed":
        made = _fixed(schema["size"])
    elif schema["type"] == "enum":
        made = _enum(schema["symbols"])
    else:
        inner = full.rpartition(".")[0]
        made = _record([(field["name"], _compile(field["type"], inner, types)) for field in schema["fields"]])
    types[full] = made
    return made


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


# --- one type each ------------------------------------------------------------------------------------------------


def _read_varint(data: bytes, at: int, bits: int) -> tuple[int, int]:
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
    return (number >> 1) ^ -(number & 1), at


def _varint(number: int) -> bytes:
    number = number << 1 if number >= 0 else (-number << 1) - 1
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _integer(bits: int) -> _Type:
    limit = 1 << (bits - 1)

    def read(data: bytes, at: int) -> tuple[int, int]:
        byte = data[at]
        if byte < 0x80:  # most numbers are one byte
            return (byte >> 1) ^ -(byte & 1), at + 1
        return _read_varint(data, at, bits)

    def write(value: Any, out: list[bytes]) -> None:
        if type(value) is not int or not -limit <= value < limit:
            raise ValueError(f"not an integer of {bits} bits")
        out.append(_varint(value))

    return read, write


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length = data[at]
    if length < 0x80 and not length & 1:  # most lengths are one byte
        start = at + 1
        end = start + (length >> 1)
    else:
        length, start = _read_varint(data, at, _LONG_BITS)
        end = start + length
        if length < 0:
            raise Malformed
    if end > len(data):
        raise Malformed
    return data[start:end], end


def _write_bytes(value: Any, out: list[bytes]) -> None:
    if type(value) is not bytes:
        raise ValueError("not bytes")
    out.append(_varint(len(value)))
    out.append(value)


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    raw, at = _read_bytes(data, at)
    return raw.decode("utf-8"), at  # strict: no surrogates, no overlong forms


def _write_string(value: Any, out: list[bytes]) -> None:
    if not isinstance(value, str):
        raise ValueError("not a string")  # noqa: TRY004 - callers catch one class
    _write_bytes(value.encode(), out)  # a surrogate is a UnicodeEncodeError, which is a ValueError


def _read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    byte = data[at]
    if byte > 1:
        raise Malformed
    return byte == 1, at + 1


def _write_boolean(value: Any, out: list[bytes]) -> None:
    if type(value) is not bool:
        raise ValueError("not a boolean")
    out.append(b"\x01" if value else b"\x00")


def _read_null(data: bytes, at: int) -> tuple[None, int]:  # noqa: ARG001 - the shape of every reader
    return None, at


def _write_null(value: Any, out: list[bytes]) -> None:  # noqa: ARG001 - the shape of every writer
    if value is not None:
        raise ValueError("not null")


_PRIMITIVES: dict[str, _Type] = {
    "null": (_read_null, _write_null),
    "boolean": (_read_boolean, _write_boolean),
    "int": _integer(_INT_BITS),
    "long": _integer(_LONG_BITS),
    "bytes": (_read_bytes, _write_bytes),
    "string": (_read_string, _write_string),
}


def _fixed(size: int) -> _Type:
    def read(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        if end > len(data):
            raise Malformed
        return data[at:end], end

    def write(value: Any, out: list[bytes]) -> None:
        if type(value) is not bytes or len(value) != size:
            raise ValueError(f"not {size} bytes")
        out.append(value)

    return read, write


def _enum(symbols: list[str]) -> _Type:
    place = {symbol: _varint(index) for index, symbol in enumerate(symbols)}
    one_byte = {index * 2: symbol for index, symbol in enumerate(symbols[:64])}

    def read(data: bytes, at: int) -> tuple[str, int]:
        symbol = one_byte.get(data[at])
        if symbol is not None:
            return symbol, at + 1
        index, at = _read_varint(data, at, _INT_BITS)
        if not 0 <= index < len(symbols):
            raise Malformed
        return symbols[index], at

    def write(value: Any, out: list[bytes]) -> None:
        if not isinstance(value, str) or value not in place:
            raise ValueError("not one of the symbols")
        out.append(place[value])

    return read, write


def _optional(inner: _Type) -> _Type:
    read_inner, write_inner = inner

    def read(data: bytes, at: int) -> tuple[Any, int]:
        index = data[at]
        if index == 0:
            return None, at + 1
        if index != 2:  # the zigzag form of branch 1
            raise Malformed
        return read_inner(data, at + 1)

    def write(value: Any, out: list[bytes]) -> None:
        if value is None:
            out.append(b"\x00")
        else:
            out.append(b"\x02")
            write_inner(value, out)

    return read, write


def _array(item: _Type) -> _Type:
    read_item, write_item = item

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        if data[at] == 0:
            return items, at + 1
        count, at = _read_varint(data, at, _LONG_BITS)
        if not 0 < count <= len(data) - at:  # every item takes at least one byte
            raise Malformed
        for _ in range(count):
            value, at = read_item(data, at)
            items.append(value)
        if data[at] != 0:  # one block only
            raise Malformed
        return items, at + 1

    def write(value: Any, out: list[bytes]) -> None:
        if not isinstance(value, (list, tuple)):
            raise ValueError("not an array")  # noqa: TRY004 - callers catch one class
        if value:
            out.append(_varint(len(value)))
            for entry in value:
                write_item(entry, out)
        out.append(b"\x00")

    return read, write


def _record(fields: list[tuple[str, _Type]]) -> _Type:
    readers = [(name, read) for name, (read, _) in fields]
    writers = [(name, write) for name, (_, write) in fields]
    names = {name for name, _ in fields}

    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        value = {}
        for name, read_field in readers:
            value[name], at = read_field(data, at)
        return value, at

    def write(value: Any, out: list[bytes]) -> None:
        if not isinstance(value, Mapping) or value.keys() != names:
            raise ValueError("not a record of these fields")
        for name, write_field in writers:
            try:
                write_field(value[name], out)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error

    return read, write
