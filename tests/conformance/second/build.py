"""Build vectors: from the inputs alone, everything that such a vector expects (section 9 of the protocol)."""

from __future__ import annotations

from typing import Any

from tests.conformance.second import ed25519, hops
from tests.conformance.second.avro import decode
from tests.conformance.second.content import check_content
from tests.conformance.second.encoder import encode, from_json
from tests.conformance.second.messages import (
    BODIES,
    ENVELOPE,
    ENVELOPE_FRAME,
    HEADER,
    HOP_BODY,
    HOP_TYPE,
    STATEMENT,
    STATEMENT_FRAME,
    pae,
    sha256,
)
from tests.conformance.second.report import read_header, read_shape, slot_hash
from tests.conformance.second.schema import known
from tests.conformance.second.statement import head_0, next_head
from tests.conformance.second.trust import key_id


class DisagreesError(Exception):
    """An input contradicts another one."""


def build(vector: dict[str, Any]) -> dict[str, Any]:
    """What the vector's `expect` must be; raises DisagreesError or RefusedError where its inputs break a rule."""
    for name, key in vector.get("keys", {}).items():
        public = ed25519.public_key(bytes.fromhex(key["seed_hex"]))
        named = key_id(name.rpartition("/")[2], public)
        _need((public.hex(), named.hex()) == (key["public_hex"], key["key_id_hex"]), f"key {name}")
    if "header" in vector:
        return _report(vector)
    return _stream(vector) if "records_hex" in vector else _statement(vector)


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise DisagreesError(what)


def _key_id(vector: dict[str, Any], party: str, use: str) -> bytes:
    return bytes.fromhex(vector["keys"][f"{party}/{use}"]["key_id_hex"])


def _sign(vector: dict[str, Any], party: str, use: str, message: bytes) -> bytes:
    return ed25519.sign(bytes.fromhex(vector["keys"][f"{party}/{use}"]["seed_hex"]), message)


def _report(vector: dict[str, Any]) -> dict[str, Any]:
    fields = from_json(HEADER, vector["header"])
    _need(fields["key_id"] == _key_id(vector, fields["origin"], "event"), "the header's key_id")
    header, n = encode(HEADER, fields), len(vector["values_hex"])
    values = [bytes.fromhex(value) for value in vector["values_hex"]]
    salts = [bytes.fromhex(salt) for salt in vector["salts_hex"]]
    ctx = sha256(b"tocsin/ctx/v1\0", header)
    slots = [slot_hash(ctx, i, salt, value) for i, (salt, value) in enumerate(zip(salts, values, strict=True))]
    signed = [_hop(vector, bytes.fromhex(hop["body_hex"]), hop["releaser"]) for hop in vector["hops"]]
    mask = decode(HOP_BODY, signed[-1]["body"])["mask_out"]
    shown = [i for i in range(n) if int.from_bytes(mask, "little") >> i & 1]
    envelope = {
        "header": header,
        "mask": mask,
        "salts": b"".join(salts[i] for i in shown),
        "values": [values[i] for i in shown],
        "digests": b"".join(slots[i] for i in range(n) if i not in shown),
        "hops": signed,
    }
    shape = read_shape(envelope)
    envelope["signature"] = _sign(vector, fields["origin"], "event", shape.entry)
    chain = hops.read(signed, read_header(header), n, shape.mask, shape.leaf)
    check_content(fields, n, dict(enumerate(values)), chain, known(vector["schemas"]))
    return {
        "header_hex": header.hex(),
        "ctx_hex": ctx.hex(),
        "slots_hex": [slot.hex() for slot in slots],
        "slots_root_hex": sha256(b"tocsin/slots/v1\0", n.to_bytes(2, "big"), *slots).hex(),
        "entry_hex": shape.entry.hex(),
        "leaf_hex": shape.leaf.hex(),
        "signature_hex": envelope["signature"].hex(),
        "hop_signatures_hex": [hop["signature"].hex() for hop in signed],
        "envelope_hex": (ENVELOPE_FRAME + encode(ENVELOPE, envelope)).hex(),
    }


def _hop(vector: dict[str, Any], body: bytes, releaser: str) -> dict[str, Any]:
    _need(decode(HOP_BODY, body)["releaser"] == releaser, "the hop's releaser")
    signature = _sign(vector, releaser, "relay", pae(HOP_TYPE, body))
    return {"body": body, "key_id": _key_id(vector, releaser, "relay"), "signature": signature}


def _statement(vector: dict[str, Any]) -> dict[str, Any]:
    """A statement's name is not among the inputs, but no two bodies have the same fields."""
    given = vector["body"]
    name, of = next((name, of) for name, of in BODIES.items() if dict(of.fields).keys() == given.keys())
    kind, body = f"application/vnd.tocsin.{name}.v1+avro", encode(of, from_json(of, given))
    signer = given["releaser" if name == "stream-head" else "node"]
    key = _key_id(vector, signer, "relay")
    signature = _sign(vector, signer, "relay", pae(kind, body))
    framed = STATEMENT_FRAME + encode(STATEMENT, {"type": kind, "body": body, "key_id": key, "signature": signature})
    return {"type": kind, "body_hex": body.hex(), "key_id_hex": key.hex(), "statement_hex": framed.hex()}


def _stream(vector: dict[str, Any]) -> dict[str, Any]:
    stream = vector["stream"]
    head = head_0(stream["releaser"], stream["audience"], stream["epoch"])
    _need(head is not None, "the stream has a head 0")
    heads, hints = [head or b""], []
    for seq, record in enumerate(vector["records_hex"], 1):
        heads.append(next_head(heads[-1], seq, sha256(bytes.fromhex(record))))
        hints.append(stream["epoch"].to_bytes(8, "big") + seq.to_bytes(8, "big"))
    return {"heads_hex": [head.hex() for head in heads], "hints_hex": [hint.hex() for hint in hints]}
