"""Parties, keys, and the one Ed25519 rule that every library agrees on (protocol section 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.bindings import crypto_core_ed25519_is_valid_point

if TYPE_CHECKING:
    from collections.abc import Mapping

SUITE_ED25519_SHA256 = 1
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64

_PARTY_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_LONGEST_ID = 32
_IDENTITY = b"\x01" + bytes(31)


class KeyUse(StrEnum):
    """What a key may sign: reports; hops and statements; `log` is reserved."""

    EVENT = "event"
    RELAY = "relay"
    LOG = "log"


class PartyKind(StrEnum):
    """What a party is; one kind each."""

    MEMBER = "MEMBER"
    LAB = "LAB"
    AUTHORITY = "AUTHORITY"
    BODY = "BODY"


@dataclass(frozen=True)
class Key:
    """A key record: valid for times t with not_before_ms ≤ t < not_after_ms."""

    use: KeyUse
    suite: int
    public: bytes
    not_before_ms: int
    not_after_ms: int
    revoked_at_ms: int | None = None

    @cached_property
    def key_id(self) -> bytes:
        """16 bytes that name suite, use and public key."""
        return key_id(self.suite, self.use, self.public)

    def valid_at(self, time_ms: int) -> bool:
        """Whether the time lies in the key's window."""
        return self.not_before_ms <= time_ms < self.not_after_ms

    def revoked(self, now_ms: int) -> bool:
        """Whether a revocation counts already."""
        return self.revoked_at_ms is not None and self.revoked_at_ms <= now_ms


@dataclass(frozen=True)
class Party:
    """A party and its key records; `jurisdiction` is two capitals, or empty for a BODY."""

    id: str
    kind: PartyKind
    jurisdiction: str
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True)
class TrustView:
    """Who is known, by which keys. Made by `tocsin.trust`, which checks every sentence of protocol section 1."""

    version: int
    parties: Mapping[str, Party]
    _keys: dict[tuple[str, bytes, KeyUse], Key] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        keys = {(party.id, key.key_id, key.use): key for party in self.parties.values() for key in party.keys}
        object.__setattr__(self, "_keys", keys)

    def key(self, party: str, key_id: bytes, use: KeyUse) -> Key | None:
        """That party's key of that id and use, whether in its window or not."""
        return self._keys.get((party, key_id, use))

    def party(self, party: str) -> Party | None:
        """The party of that id."""
        return self.parties.get(party)


def is_party_id(text: str) -> bool:
    """Whether the text is a party id: its pattern, and not reserved for groups."""
    return matches_party_id(text) and text != "public" and not text.startswith("community-")


def matches_party_id(text: str) -> bool:
    """Whether the text has the pattern of a party id, reserved ones too (as ids of policies may)."""
    return len(text) <= _LONGEST_ID and _fits(text)  # a peer decides how long: only what may fit is remembered


@lru_cache(maxsize=1024)  # the same few parties stand in every report
def _fits(text: str) -> bool:
    return _PARTY_ID.fullmatch(text) is not None


def key_id(suite: int, use: str, public: bytes) -> bytes:
    """The 16-byte id of a key (protocol section 1)."""
    return sha256(b"tocsin/key/v1\0" + bytes((suite,)) + use.encode() + b"\0" + public).digest()[:16]


def pae(payload_type: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body)


def is_weak(public: bytes) -> bool:
    """Whether 32 bytes are anything but the canonical encoding of a point of order exactly L."""
    # libsodium refuses non-canonical encodings, points off the curve, small orders and points outside the main subgroup
    return len(public) != PUBLIC_BYTES or not crypto_core_ed25519_is_valid_point(public)


def verify_signature(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature satisfies protocol section 1 under a key that is not weak.

    OpenSSL refuses S ≥ L, computes [S]B − [k]A and compares its canonical encoding with R: without cofactor, and
    only a canonical R can be equal. What it lets pass is R = identity. (libsodium's verification has the cofactor.)
    """
    if len(signature) != SIGNATURE_BYTES or signature.startswith(_IDENTITY):
        return False
    try:
        _loaded(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=1024)  # loading a key costs more than hashing a report; a federation has some hundreds
def _loaded(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)
