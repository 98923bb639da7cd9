"""The Avro schemas of everything on the wire, as data: code that reads bytes needs no file.

`schemas/tocsin/*.avsc` publishes the same objects for others; a test holds them equal. Names and order of fields are
those of the protocol, sections 2, 3 and 5; the frames of `Envelope` and `Statement` follow from them.
"""

from __future__ import annotations

from typing import Any

_NAMESPACE = "tocsin.v1"


def _record(name: str, doc: str, *fields: tuple[str, Any]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "namespace": _NAMESPACE,
        "doc": doc,
        "fields": [{"name": field, "type": kind} for field, kind in fields],
    }


def _inner(name: str, *fields: tuple[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": field, "type": kind} for field, kind in fields]}


def _fixed(name: str, size: int) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


def _enum(name: str, *symbols: str) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": list(symbols)}


def _array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_KEY_ID = _fixed("KeyId", 16)
_SIGNATURE = _fixed("Signature", 64)
_DIGEST = _fixed("Digest", 32)
_TLP = _enum("Tlp", "CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED")

HEADER = _record(
    "Header",
    "The part of a report that is never withheld, encoded once by its origin; at most 1,024 bytes.",
    ("origin", "string"),
    ("key_id", _KEY_ID),
    ("incident", _fixed("IncidentId", 16)),
    ("revision", "int"),
    ("stage", _enum("Stage", "INITIAL", "UPDATE", "FINAL", "RETRACTION")),
    ("prev", _DIGEST),
    ("created_day", "int"),
    ("schema", "string"),
    ("schema_sha256", "Digest"),
    ("tlp", _TLP),
    ("exercise", "boolean"),
)

HOP_BODY = _record(
    "HopBody",
    "What one releaser let through to one audience; at most 4,096 bytes.",
    ("releaser", "string"),
    ("prev", _DIGEST),
    ("mask_out", "bytes"),
    ("tlp", _TLP),
    ("kind", _enum("AudienceKind", "MEMBER", "AUTHORITY", "BODY", "COMMUNITY", "PUBLIC")),
    ("audience", "string"),
    ("limits", _array(_inner("Limit", ("kind", "AudienceKind"), ("slots", "bytes"), ("until", "int")))),
    ("policy", _inner("PolicyRef", ("id", "string"), ("version", "int"), ("sha256", "Digest"))),
    (
        "reasons",
        _array(
            _inner(
                "WhyNot",
                ("slots", "bytes"),
                ("code", _enum("Code", "EMBARGOED", "COARSENED", "WITHHELD")),
                ("until", "int"),
                ("rule", "string"),
            )
        ),
    ),
    ("minute", "int"),
)

ENVELOPE = _record(
    "Envelope",
    "One report as one reader gets it; framed as a single object, at most 262,144 bytes.",
    ("header", "bytes"),
    ("mask", "bytes"),
    ("salts", "bytes"),
    ("values", _array("bytes")),
    ("digests", "bytes"),
    ("signature", _SIGNATURE),
    ("hops", _array(_inner("Hop", ("body", "bytes"), ("key_id", _KEY_ID), ("signature", "Signature")))),
)

STATEMENT = _record(
    "Statement",
    "A signed short text that is not a report; the body is one of the statement bodies, at most 65,536 bytes.",
    ("type", "string"),
    ("body", "bytes"),
    ("key_id", _KEY_ID),
    ("signature", _SIGNATURE),
)

STREAM_HEAD = _record(
    "StreamHead",
    "Where a stream stands after record seq of its epoch.",
    ("releaser", "string"),
    ("audience", "string"),
    ("epoch", "long"),
    ("seq", "long"),
    ("head", _DIGEST),
    ("time_ms", "long"),
)

RECEIPT = _record(
    "Receipt",
    "A node's answer to a submission: record is SHA-256 of its framed bytes, report the leaf of the national report.",
    ("node", "string"),
    ("lab", "string"),
    ("record", _DIGEST),
    ("leaf", "Digest"),
    ("decision", _enum("Decision", "ACCEPTED", "REJECTED", "ISSUED")),
    ("reason", "string"),
    ("report", ["null", "Digest"]),
    ("time_ms", "long"),
)

POLICY_TEXT = _record(
    "PolicyText",
    "A node's disclosure policy, as it stands.",
    ("node", "string"),
    ("id", "string"),
    ("version", "int"),
    ("schema", "string"),
    ("text", "bytes"),
    ("time_ms", "long"),
)

DESCRIPTOR = _record(
    "Descriptor",
    "What a node is and speaks: its policies in force, and the SHA-256 of the schemas that it knows.",
    ("node", "string"),
    ("jurisdiction", "string"),
    ("software", "string"),
    ("protocol", "int"),
    (
        "policies",
        _array(
            _inner("PolicyInForce", ("schema", "string"), ("id", "string"), ("version", "int"), ("sha256", _DIGEST)),
        ),
    ),
    ("schemas", _array("Digest")),
    ("time_ms", "long"),
)

ALL = (HEADER, HOP_BODY, ENVELOPE, STATEMENT, STREAM_HEAD, RECEIPT, POLICY_TEXT, DESCRIPTOR)
