"""Envelopes: one report as one reader gets it, and what an origin signs (protocol section 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tocsin.wire import records
from tocsin.wire.avro import Codec, Malformed, frame, unframe
from tocsin.wire.header import Header, parse_header
from tocsin.wire.hop import Hop
from tocsin.wire.keys import pae
from tocsin.wire.reasons import Reason, Refused
from tocsin.wire.slots import (
    DIGEST_BYTES,
    MAX_SLOTS,
    MAX_VALUE,
    MAX_VALUES,
    SALT_BYTES,
    ctx,
    mask_bits,
    mask_bytes,
    slot_digests,
    slots_root,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

REPORT_TYPE = "application/vnd.tocsin.report.v1+avro"
"""The payload type under which an origin signs a report."""
MAX_FRAMED = 262_144
"""Bytes of a framed envelope or statement: a limit on work."""

_CODEC = Codec(records.ENVELOPE)
_FINGERPRINT = _CODEC.fingerprint


@dataclass(frozen=True)
class Envelope:
    """The parts of `tocsin.v1.Envelope`: `mask` as bits; salts and values of the slots set in it, digests of the others.

    Everything in slot order. Only counts, lengths and sizes are known to be right; `tocsin.wire.verify` does the rest.
    """

    header: bytes
    mask: int
    n: int
    salts: tuple[bytes, ...]
    values: tuple[bytes, ...]
    digests: tuple[bytes, ...]
    signature: bytes
    hops: tuple[Hop, ...]

    @cached_property
    def shown(self) -> tuple[int, ...]:
        """The slots set in the mask, in order."""
        mask = self.mask
        return tuple([i for i in range(self.n) if mask >> i & 1])

    @cached_property
    def disclosed(self) -> Mapping[int, bytes]:
        """Value bytes by slot, for the slots set in the mask."""
        return dict(zip(self.shown, self.values, strict=True))

    @cached_property
    def all_digests(self) -> tuple[bytes, ...]:
        """The digest of every slot: computed where it is disclosed, as received where it is not."""
        shown = slot_digests(ctx(self.header), zip(self.shown, self.salts, self.values, strict=True))
        opened, hidden = iter(shown), iter(self.digests)
        mask = self.mask
        return tuple([next(opened if mask >> i & 1 else hidden) for i in range(self.n)])

    @cached_property
    def entry(self) -> bytes:
        """What the origin signed; the same for every envelope of a report, whatever is withheld."""
        return entry_of(self.header, slots_root(self.all_digests))

    @cached_property
    def leaf(self) -> bytes:
        """The report's id."""
        return leaf_of(self.entry)


@dataclass(frozen=True)
class Draft:
    """A report before its signature: encoded header, and value and salt (16 fresh random bytes) of every slot."""

    header: bytes
    values: tuple[bytes, ...]
    salts: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """ValueError where the report has not 1 to 256 slots with one salt each, or values are too long."""
        sizes = [len(value) for value in self.values]
        if not (1 <= len(sizes) <= MAX_SLOTS and max(sizes) <= MAX_VALUE and sum(sizes) <= MAX_VALUES):
            raise ValueError("a report has 1 to 256 slots of at most 65,535 bytes, 196,608 together")
        if len(self.salts) != len(sizes) or any(len(salt) != SALT_BYTES for salt in self.salts):
            raise ValueError("every slot has one salt of 16 bytes")

    @cached_property
    def slots_root(self) -> bytes:
        """The commitment to all slots."""
        opened = zip(range(len(self.values)), self.salts, self.values, strict=True)
        return slots_root(slot_digests(ctx(self.header), opened))

    @cached_property
    def entry(self) -> bytes:
        """The bytes that the origin's event key signs."""
        return entry_of(self.header, self.slots_root)

    @cached_property
    def leaf(self) -> bytes:
        """The report's id."""
        return leaf_of(self.entry)


def entry_of(header: bytes, root: bytes) -> bytes:
    """The signed bytes of a report."""
    return pae(REPORT_TYPE, header + root)


def leaf_of(entry: bytes) -> bytes:
    """Report id, duplicate key and RFC 6962 leaf hash."""
    return sha256(b"\0" + entry).digest()


def sign_draft(draft: Draft, signature: bytes) -> Envelope:
    """The envelope of a new report: every slot disclosed, no hop yet. `signature` is over `draft.entry`."""
    n = len(draft.values)
    return Envelope(
        header=draft.header,
        mask=(1 << n) - 1,
        n=n,
        salts=draft.salts,
        values=draft.values,
        digests=(),
        signature=signature,
        hops=(),
    )


def withhold(envelope: Envelope, keep: int) -> Envelope:
    """The envelope with only the slots of `keep` (mask bits) still disclosed; entry and signature do not change."""
    mask = envelope.mask & keep
    if mask == envelope.mask:
        return envelope
    digests = envelope.all_digests
    kept = [place for place, i in enumerate(envelope.shown) if mask >> i & 1]
    return replace(
        envelope,
        mask=mask,
        salts=tuple([envelope.salts[place] for place in kept]),
        values=tuple([envelope.values[place] for place in kept]),
        digests=tuple([digests[i] for i in range(envelope.n) if not mask >> i & 1]),
    )


def with_hop(envelope: Envelope, hop: Hop) -> Envelope:
    """The envelope with one more hop at its end; the hop's mask_out must be the envelope's mask."""
    return replace(envelope, hops=(*envelope.hops, hop))


def frame_envelope(envelope: Envelope) -> bytes:
    """The framed bytes, as they stand in a record or a `.tocsin` file."""
    body = {
        "header": envelope.header,
        "mask": mask_bytes(envelope.mask, envelope.n),
        "salts": b"".join(envelope.salts),
        "values": envelope.values,
        "digests": b"".join(envelope.digests),
        "signature": envelope.signature,
        "hops": [{"body": hop.body, "key_id": hop.key_id, "signature": hop.signature} for hop in envelope.hops],
    }
    return frame(_FINGERPRINT, _CODEC.encode(body))


def parse_envelope(framed: bytes) -> Envelope:
    """The envelope of framed bytes, by `read_envelope`."""
    return read_envelope(framed)[0]


def read_envelope(framed: bytes) -> tuple[Envelope, Header]:
    """Steps 1 to 3 of the protocol's section 6: frame and strict form, header, shape. Raises `Refused`."""
    if len(framed) > MAX_FRAMED:
        raise Refused(Reason.SIZE)
    try:
        fingerprint, body = unframe(framed)
    except Malformed:
        raise Refused(Reason.FRAMING) from None
    if fingerprint != _FINGERPRINT:
        raise Refused(Reason.FRAMING)
    try:
        fields = _CODEC.decode(body)
    except Malformed:
        raise Refused(Reason.ENVELOPE_MALFORMED) from None
    header = parse_header(fields["header"])
    return _shaped(fields), header


def _shaped(fields: Mapping[str, Any]) -> Envelope:
    """Step 3: mask, padding, counts, lengths, n, sizes of values; SHAPE."""
    salts, values, digests = fields["salts"], fields["values"], fields["digests"]
    k = len(values)
    n = k + len(digests) // DIGEST_BYTES
    sizes = list(map(len, values))
    if len(digests) % DIGEST_BYTES or not 1 <= n <= MAX_SLOTS or len(salts) != SALT_BYTES * k:
        raise Refused(Reason.SHAPE)
    if max(sizes, default=0) > MAX_VALUE or sum(sizes) > MAX_VALUES:
        raise Refused(Reason.SHAPE)
    try:
        mask = mask_bits(fields["mask"], n)
    except ValueError:
        raise Refused(Reason.SHAPE) from None
    if mask.bit_count() != k:
        raise Refused(Reason.SHAPE)
    return Envelope(
        header=fields["header"],
        mask=mask,
        n=n,
        salts=_pieces(salts, SALT_BYTES),
        values=tuple(values),
        digests=_pieces(digests, DIGEST_BYTES),
        signature=fields["signature"],
        hops=tuple(Hop(**hop) for hop in fields["hops"]),
    )


def _pieces(data: bytes, size: int) -> tuple[bytes, ...]:
    return tuple([data[at : at + size] for at in range(0, len(data), size)])
