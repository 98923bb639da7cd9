"""The other direction of avro.py: canonical encodings, for build vectors and for the verifier's own tests."""

from __future__ import annotations

from typing import Any

from tests.conformance.second.avro import Type


def varint(number: int) -> bytes:
    """The zigzag varint of a number of at most 64 bits."""
    raw = (number << 1) ^ (number >> 63)
    out = bytearray()
    while raw > 0x7F:
        out.append(raw & 0x7F | 0x80)
        raw >>= 7
    return bytes([*out, raw])


def encode(of: Type, value: Any) -> bytes:
    """The canonical encoding; a union here is always of null and one other type."""
    match of.kind:
        case "null":
            out = b""
        case "boolean":
            out = b"\x01" if value else b"\x00"
        case "int" | "long":
            out = varint(value)
        case "bytes":
            out = varint(len(value)) + value
        case "string":
            out = varint(len(value.encode())) + value.encode()
        case "fixed":
            out = bytes(value)
        case "enum":
            out = varint(of.symbols.index(value))
        case "union":
            out = b"\x00" if value is None else b"\x02" + encode(of.parts[1], value)
        case "array":
            items = b"".join(encode(of.parts[0], item) for item in value)
            out = (varint(len(value)) + items if value else b"") + b"\x00"
        case _:
            out = b"".join(encode(kind, value[name]) for name, kind in of.fields)
    return out


def from_json(of: Type, value: Any) -> Any:
    """The value that JSON stands for where bytes are written in hex."""
    match of.kind:
        case "bytes" | "fixed":
            return bytes.fromhex(value)
        case "union":
            return None if value is None else from_json(of.parts[1], value)
        case "array":
            return [from_json(of.parts[0], item) for item in value]
        case "record":
            return {name: from_json(kind, value[name]) for name, kind in of.fields}
    return value
