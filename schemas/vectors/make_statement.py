# ruff: noqa: INP001 - scripts beside their data
"""Statement vectors (protocol section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.vectors.make_report import Plan, build
from schemas.vectors.make_world import DAY_MS, NOW, fixed_bytes, id_of, private, trust

from tocsin.wire import records
from tocsin.wire.avro import Codec, frame
from tocsin.wire.keys import pae
from tocsin.wire.stream import head_zero

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Fields = dict[str, Any]
Named = tuple[str, Fields]

STATEMENT = Codec(records.STATEMENT)
CODECS = {
    "stream-head": Codec(records.STREAM_HEAD),
    "receipt": Codec(records.RECEIPT),
    "policy": Codec(records.POLICY_TEXT),
    "descriptor": Codec(records.DESCRIPTOR),
}
EPOCH = NOW // 1000 - 5_000

BODIES: dict[str, Fields] = {
    "stream-head": {
        "releaser": "gb",
        "audience": "jp",
        "epoch": EPOCH,
        "seq": 7,
        "head": fixed_bytes("head"),
        "time_ms": NOW,
    },
    "receipt": {
        "node": "gb",
        "lab": "acme-labs",
        "record": fixed_bytes("record"),
        "leaf": fixed_bytes("leaf"),
        "decision": "ISSUED",
        "reason": "",
        "report": fixed_bytes("report"),
        "time_ms": NOW,
    },
    "policy": {
        "node": "gb",
        "id": "gb",
        "version": 3,
        "schema": "incident/1.0",
        "text": b'policy = "gb"\n',
        "time_ms": NOW,
    },
    "descriptor": {
        "node": "gb",
        "jurisdiction": "GB",
        "software": "tocsin",
        "protocol": 1,
        "policies": [{"schema": "incident/1.0", "id": "gb", "version": 3, "sha256": fixed_bytes("policy")}],
        "schemas": [fixed_bytes("schema 1"), fixed_bytes("schema 2")],
        "time_ms": NOW,
    },
}


def media_type(name: str) -> str:
    """The full type of a statement."""
    return f"application/vnd.tocsin.{name}.v1+avro"


def signed(
    name: str = "stream-head",
    *,
    kind: str = "",
    raw: Callable[[bytes], bytes] | None = None,
    signer: tuple[str, str] | None = None,
    sign: Callable[[bytes], bytes] | None = None,
    **changes: Any,
) -> tuple[bytes, str, bytes]:
    """Framed bytes, type and body of a statement, with what is out of order in it."""
    fields = BODIES[name] | changes
    body = CODECS[name].encode(fields)
    body = raw(body) if raw else body
    kind = kind or media_type(name)
    by = signer or (str(fields.get("releaser", fields.get("node"))), "relay")
    message = pae(kind, body)
    signature = sign(message) if sign else private(*by).sign(message)
    record = {"type": kind, "body": body, "key_id": id_of(*by), "signature": signature}
    return frame(STATEMENT.fingerprint, STATEMENT.encode(record)), kind, body


def _vector(
    about: str,
    made: tuple[bytes, str, bytes],
    reason: str = "",
    *,
    parties: list[Fields] | None = None,
    now: int = NOW,
    came_by: tuple[str, str] | None = None,
    framed: Callable[[bytes], bytes] | None = None,
) -> Fields:
    raw, kind, body = made
    return {
        "about": about,
        "trust": trust() if parties is None else parties,
        "schemas": {},
        "now_ms": now,
        "came_by": came_by and {"releaser": came_by[0], "audience": came_by[1]},
        "held": [],
        "statement_hex": (framed(raw) if framed else raw).hex(),
        "expect": {"reason": reason} if reason else {"type": kind, "body_hex": body.hex()},
    }


def statements() -> Iterator[Named]:
    """Every statement vector, by name of its file."""
    yield from _accepted()
    yield from _frames()
    yield from _malformed()
    yield from _keys()
    yield from _places()


def _accepted() -> Iterator[Named]:
    for name in BODIES:
        yield name, _vector(f"a {name}", signed(name))
    yield "stream-head-by-stream", _vector("it came by its own stream", signed(), came_by=("gb", "jp"))
    zero = signed(seq=0, head=head_zero("gb", "jp", EPOCH))
    yield "stream-head-zero", _vector("seq 0 is head_0", zero, came_by=("gb", "jp"))
    yield "stream-head-greatest", _vector("the greatest seq of 63 bits", signed(seq=2**63 - 1))
    ahead = NOW + 300_000
    yield (
        "time-ahead",
        _vector("exactly 5 min ahead, its epoch 300 s further", signed(time_ms=ahead, epoch=ahead // 1000 + 300)),
    )
    yield "epoch-zero", _vector("epoch 0", signed(epoch=0))
    yield "audience-long", _vector("an audience of 256 bytes has no head 0, but others", signed(audience="a" * 256))
    yield "audience-any", _vector("nothing else about a body is a ground", signed(audience="No party, at all\n"))
    rejected = signed("receipt", decision="REJECTED", reason="SIZE", leaf=bytes(32), report=None)
    yield "receipt-rejected", _vector("a receipt of what has no leaf", rejected)
    yield "receipt-by-stream", _vector("a place binds stream heads only", signed("receipt"), came_by=("jp", "ke"))
    odd = signed("policy", id="", version=-1, schema="?", text=b"\xff")
    yield "policy-any", _vector("nothing else about a policy is a ground", odd)
    empty = signed("descriptor", policies=[], schemas=[], protocol=99, jurisdiction="?", software="")
    yield "descriptor-empty", _vector("a descriptor of nothing", empty)
    room = 65_536 - len(CODECS["policy"].encode(BODIES["policy"])) + len(BODIES["policy"]["text"])
    large = signed("policy", text=bytes(room - 2))
    if len(large[2]) != 65_536:
        raise ValueError(f"the body has {len(large[2])} bytes, not 65,536")
    yield "body-largest", _vector("a body of 65,536 bytes", large)
    too_large = signed("policy", text=bytes(room - 1))
    yield "body-too-large", _vector("a body of 65,537 bytes", too_large, "STATEMENT_MALFORMED")
    old = signed(time_ms=NOW - 30 * DAY_MS, epoch=(NOW - 30 * DAY_MS) // 1000)
    yield "time-old", _vector("an old statement is no fault", old)
    yield "lab-speaks", _vector("any party may speak", signed("receipt", node="acme-labs"))


def _frames() -> Iterator[Named]:
    for name, about, reason, change in (
        ("size", "262,145 bytes", "SIZE", lambda f: f[:10] + bytes(262_135)),
        ("size-greatest", "262,144 bytes are no fault by themselves", "FRAMING", lambda _: bytes(262_144)),
        ("framing-empty", "no bytes", "FRAMING", lambda _: b""),
        ("framing-short", "nine bytes", "FRAMING", lambda f: f[:9]),
        ("framing-marker", "another marker", "FRAMING", lambda f: b"\xc3\x00" + f[2:]),
        ("framing-envelope", "an envelope", "FRAMING", lambda _: build(Plan()).framed),
        ("trailing", "one byte too many", "STATEMENT_MALFORMED", lambda f: f + b"\0"),
        ("truncated", "the last byte is missing", "STATEMENT_MALFORMED", lambda f: f[:-1]),
        ("empty", "a frame alone", "STATEMENT_MALFORMED", lambda f: f[:10]),
        (
            "overlong",
            "the length of the type in three bytes",
            "STATEMENT_MALFORMED",
            lambda f: f[:11] + bytes([f[11] | 0x80, 0]) + f[12:],
        ),
    ):
        yield name, _vector(about, signed(), reason, framed=change)


def _malformed() -> Iterator[Named]:
    for name, about, made in (
        ("type-unknown", "an unknown type", signed(kind=media_type("gone"))),
        ("type-report", "the type of a report", signed(kind=media_type("report"))),
        ("type-version", "another version of a type", signed(kind="application/vnd.tocsin.stream-head.v2+avro")),
        ("type-other", "the type of another statement", signed(kind=media_type("policy"))),
        ("body-trailing", "a byte too many in the body", signed(raw=lambda b: b + b"\0")),
        ("body-empty", "no body", signed(raw=lambda _: b"")),
        (
            "body-enum",
            "a decision beyond ISSUED",
            signed("receipt", raw=lambda b: b.replace(b"\x04\0\x02", b"\x06\0\x02")),
        ),
        ("body-utf8", "a releaser that is not UTF-8", signed(raw=lambda b: b"\x04\xff\xfe" + b[3:])),
        ("epoch-negative", "epoch -1", signed(epoch=-1)),
        ("seq-negative", "seq -1", signed(seq=-1)),
        ("seq-64-bits", "a seq of 2^63", signed(seq=0, raw=_seq_too_great)),
    ):
        yield f"malformed-{name}", _vector(about, made, "STATEMENT_MALFORMED")
    about = "malformed comes before the key"
    yield "order-malformed-key", _vector(about, signed(epoch=-1), "STATEMENT_MALFORMED", parties=trust(gb=None))


def _seq_too_great(body: bytes) -> bytes:
    """The seq 0 of a stream head replaced by the eleven bits too many of 2^63."""
    place = body.index(b"\0" + BODIES["stream-head"]["head"])
    return body[:place] + b"\x80" * 9 + b"\x02" + body[place + 1 :]


def _keys() -> Iterator[Named]:
    for name, about, made, parties in (
        ("party", "the releaser is not known", signed(), trust(gb=None)),
        ("node", "the node is not known", signed("policy"), trust(gb=None)),
        ("use", "its event key", signed(signer=("gb", "event")), trust()),
        ("other", "another party's key", signed(signer=("jp", "relay")), trust()),
        ("ended", "not_after_ms is time_ms", signed(), trust(gb={"relay": {"not_after_ms": NOW}})),
        ("not-begun", "not_before_ms is after time_ms", signed(), trust(gb={"relay": {"not_before_ms": NOW + 1}})),
        ("revoked", "revoked_at_ms is now", signed(), trust(gb={"relay": {"revoked_at_ms": NOW}})),
        ("lab", "a receipt is the node's, not the lab's", signed("receipt", signer=("acme-labs", "relay")), trust()),
    ):
        yield f"key-{name}", _vector(about, made, "STATEMENT_KEY", parties=parties)
    window = trust(gb={"relay": {"not_before_ms": NOW, "not_after_ms": NOW + 1, "revoked_at_ms": NOW + 1}})
    yield "key-edges", _vector("a window of 1 ms, revoked 1 ms later", signed(), parties=window)

    def flipped(message: bytes) -> bytes:
        return private("gb", "relay").sign(message)[:-1] + b"\x7f"

    yield "signature", _vector("a wrong signature", signed(sign=flipped), "STATEMENT_SIGNATURE")
    revoked = trust(gb={"relay": {"revoked_at_ms": NOW}})
    about = "the key comes before the signature"
    yield "order-key-signature", _vector(about, signed(sign=flipped), "STATEMENT_KEY", parties=revoked)
    about = "signed as another type"
    other = signed(sign=lambda m: private("gb", "relay").sign(m.replace(b"stream-head", b"stream-tail")))
    yield "signature-type", _vector(about, other, "STATEMENT_SIGNATURE")
    late = signed(time_ms=NOW + 10**9, sign=flipped)
    yield "order-signature-place", _vector("the signature comes before the place", late, "STATEMENT_SIGNATURE")


def _places() -> Iterator[Named]:
    for name, about, made, by in (
        ("time", "5 min and 1 ms ahead", signed(time_ms=NOW + 300_001), None),
        ("time-receipt", "a receipt 5 min and 1 ms ahead", signed("receipt", time_ms=NOW + 300_001), None),
        ("epoch", "an epoch 301 s after its time", signed(epoch=NOW // 1000 + 301), None),
        ("head-zero", "seq 0 with another head", signed(seq=0), None),
        ("head-zero-long", "seq 0 with an audience of 256 bytes", signed(seq=0, audience="a" * 256), None),
        ("audience", "another reader's stream", signed(audience="ke"), ("gb", "jp")),
        ("releaser", "another releaser's stream", signed(), ("ke", "jp")),
    ):
        yield f"place-{name}", _vector(about, made, "STATEMENT_PLACE", came_by=by)
