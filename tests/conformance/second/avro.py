"""Avro for the second verifier: types, canonical form, fingerprint, and a decoder that takes canonical bytes only.

Nothing here knows the protocol. The decoder checks while it reads what "decode, consume every byte, re-encode,
require the identical bytes" asks for: shortest varints, one block per array, indices and numbers in range.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "bytes", "string"})


class MalformedError(Exception):
    """The bytes are not the one canonical encoding of a value of the type."""


@dataclass(frozen=True)
class Type:
    """One Avro type; `kind` decides which of the other attributes mean something."""

    kind: str
    name: str = ""  # full name of an enum, fixed or record
    logical: Any = None  # the logicalType as written; the decoder ignores it
    size: int = 0  # fixed
    symbols: tuple[str, ...] = ()  # enum
    fields: tuple[tuple[str, Type], ...] = ()  # record
    parts: tuple[Type, ...] = ()  # the branches of a union, or the one item type of an array


def array_of(items: Type) -> Type:
    """The type of an array of `items`."""
    return Type("array", parts=(items,))


def record_of(name: str, **fields: Type) -> Type:
    """A record type with its fields in the order given."""
    return Type("record", name, fields=tuple(fields.items()))


class Cursor:
    """A place in some bytes; every read checks that what it needs is there."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size < 0 or size > len(self.data) - self.at:
            raise MalformedError
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self, bits: int) -> int:
        """A zigzag number of at most `bits` bits, in its shortest form."""
        raw = shift = 0
        while True:
            byte = self.take(1)[0]
            raw |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= 70:
                raise MalformedError
        if (byte == 0 and shift > 7) or raw >> bits:
            raise MalformedError
        return (raw >> 1) ^ -(raw & 1)

    def index(self, count: int) -> int:
        """The index of a union branch or of an enum symbol."""
        index = self.varint(32)
        if not 0 <= index < count:
            raise MalformedError
        return index

    def count(self) -> int:
        """The count of an array's only block; every item of this protocol takes at least one byte."""
        count = self.varint(64)
        if not 0 <= count <= len(self.data) - self.at:
            raise MalformedError
        return count

    def end_of_array(self, count: int) -> None:
        """Read the terminator that a non-empty array has (the count of an empty one is its terminator)."""
        if count and self.take(1) != b"\x00":
            raise MalformedError

    def value(self, of: Type) -> Any:
        """The next value; an enum as its symbol, a record as a dict, a union as its branch's value."""
        return _READERS[of.kind](self, of)

    def boolean(self) -> bool:
        """00 or 01."""
        byte = self.take(1)[0]
        if byte > 1:
            raise MalformedError
        return byte == 1

    def string(self) -> str:
        """Well-formed UTF-8 after its length; no surrogates."""
        try:
            return self.take(self.varint(64)).decode("utf-8", "strict")
        except UnicodeDecodeError as error:
            raise MalformedError from error

    def array(self, items: Type) -> list[Any]:
        """The items of one block, or of none."""
        count = self.count()
        values = [self.value(items) for _ in range(count)]
        self.end_of_array(count)
        return values


_READERS: dict[str, Callable[[Cursor, Type], Any]] = {
    "null": lambda _cursor, _of: None,
    "boolean": lambda cursor, _of: cursor.boolean(),
    "int": lambda cursor, _of: cursor.varint(32),
    "long": lambda cursor, _of: cursor.varint(64),
    "bytes": lambda cursor, _of: cursor.take(cursor.varint(64)),
    "string": lambda cursor, _of: cursor.string(),
    "fixed": lambda cursor, of: cursor.take(of.size),
    "enum": lambda cursor, of: of.symbols[cursor.index(len(of.symbols))],
    "union": lambda cursor, of: cursor.value(of.parts[cursor.index(len(of.parts))]),
    "array": lambda cursor, of: cursor.array(of.parts[0]),
    "record": lambda cursor, of: {name: cursor.value(kind) for name, kind in of.fields},
}


def decode(of: Type, data: bytes) -> Any:
    """The value of which `data` is the canonical encoding, all of it; raises MalformedError."""
    cursor = Cursor(data)
    value = cursor.value(of)
    if cursor.at != len(data):
        raise MalformedError
    return value


def item_encodings(items: Type, data: bytes) -> list[bytes]:
    """The encodings of the items of an array in the second branch of a union; `data` has been decoded before."""
    cursor = Cursor(data)
    cursor.index(2)
    found = []
    for _ in range(cursor.count()):
        start = cursor.at
        cursor.value(items)
        found.append(data[start : cursor.at])
    return found


def canonical_form(of: Type) -> str:
    """The Parsing Canonical Form of a type (Apache Avro 1.12)."""
    return json.dumps(_canonical(of, set()), separators=(",", ":"), ensure_ascii=False)


def _canonical(of: Type, seen: set[str]) -> Any:
    if of.name in seen:
        return of.name
    if of.name:
        seen.add(of.name)
    form: Any = of.kind
    match of.kind:
        case "record":
            fields = [{"name": name, "type": _canonical(kind, seen)} for name, kind in of.fields]
            form = {"name": of.name, "type": "record", "fields": fields}
        case "enum":
            form = {"name": of.name, "type": "enum", "symbols": list(of.symbols)}
        case "fixed":
            form = {"name": of.name, "type": "fixed", "size": of.size}
        case "array":
            form = {"type": "array", "items": _canonical(of.parts[0], seen)}
        case "union":
            form = [_canonical(part, seen) for part in of.parts]
    return form


_EMPTY = 0xC15D213AA4D7A795


def fingerprint(of: Type) -> bytes:
    """CRC-64-AVRO of the Parsing Canonical Form: 8 bytes, little-endian."""
    crc = _EMPTY
    for byte in canonical_form(of).encode():
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_EMPTY & -(crc & 1))
    return crc.to_bytes(8, "little")
