"""Slots: salted commitments to single fields, their root, and the masks that say which are disclosed (section 2)."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SALT_BYTES = 16
DIGEST_BYTES = 32
MAX_SLOTS = 256
MAX_VALUE = 65_535
"""Bytes of one value."""
MAX_VALUES = 196_608
"""Bytes of all values of an envelope together."""

_SLOT = b"tocsin/slot/v1" + bytes(18)
_U16 = tuple(index.to_bytes(2, "big") for index in range(MAX_SLOTS))


def ctx(header: bytes) -> bytes:
    """What ties every slot to its header."""
    return sha256(b"tocsin/ctx/v1\0" + header).digest()


def slot_digest(context: bytes, index: int, salt: bytes, value: bytes) -> bytes:
    """The commitment to slot `index`; `context` is the header's `ctx`."""
    return slot_digests(context, [(index, salt, value)])[0]


def slot_digests(context: bytes, opened: Iterable[tuple[int, bytes, bytes]]) -> list[bytes]:
    """The commitments to slots, each given as index, salt and value; the block that all begin with is hashed once."""
    begin = sha256(_SLOT + context)
    digests = []
    for index, salt, value in opened:
        digest = begin.copy()
        digest.update(_U16[index] + salt + value)
        digests.append(digest.digest())
    return digests


def slots_root(digests: Sequence[bytes]) -> bytes:
    """The commitment to all slots, in order."""
    return sha256(b"tocsin/slots/v1\0" + len(digests).to_bytes(2, "big") + b"".join(digests)).digest()


def mask_bytes(bits: int, n: int) -> bytes:
    """The wire form of a mask of n slots: slot i is bit i mod 8 of byte i // 8."""
    return bits.to_bytes((n + 7) // 8, "little")


def mask_bits(raw: bytes, n: int) -> int:
    """The mask as a number, bit i for slot i; ValueError on a wrong length or a set bit beyond n."""
    bits = int.from_bytes(raw, "little")
    if len(raw) != (n + 7) // 8 or bits >> n:
        raise ValueError("not a mask of so many slots")
    return bits
