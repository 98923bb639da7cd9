"""The trust view: who is known, by which keys (protocol section 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.conformance.second import ed25519
from tests.conformance.second.messages import is_party_id, sha256

KINDS = frozenset({"MEMBER", "LAB", "AUTHORITY", "BODY"})
USES = frozenset({"event", "relay", "log"})


class NotLoadedError(Exception):
    """The view breaks a sentence of section 1."""


@dataclass(frozen=True)
class Key:
    """One key record; times in milliseconds."""

    use: str
    public: bytes
    not_before_ms: int
    not_after_ms: int
    revoked_at_ms: int | None

    @property
    def key_id(self) -> bytes:
        """The 16 bytes by which messages name the key."""
        return key_id(self.use, self.public)

    def is_revoked(self, now_ms: int) -> bool:
        """Whether the revocation counts by now."""
        return self.revoked_at_ms is not None and self.revoked_at_ms <= now_ms

    def covers(self, time_ms: int) -> bool:
        """Whether the moment lies in the key's window."""
        return self.not_before_ms <= time_ms < self.not_after_ms


@dataclass(frozen=True)
class Party:
    """One party and its key records."""

    name: str
    kind: str
    jurisdiction: str
    keys: tuple[Key, ...]

    def key(self, use: str, wanted: bytes) -> Key | None:
        """The key record of that use and id."""
        return next((key for key in self.keys if key.use == use and key.key_id == wanted), None)


View = dict[str, Party]


def key_id(use: str, public: bytes) -> bytes:
    """The id of a suite 1 key."""
    return sha256(b"tocsin/key/v1\0\x01", use.encode(), b"\0", public)[:16]


def load(listed: Any) -> View:
    """The view that a vector lists; raises NotLoadedError."""
    _need(isinstance(listed, list))
    view: View = {}
    seen: set[bytes] = set()
    for entry in listed:
        party = _party(entry)
        _need(party.name not in view)
        view[party.name] = party
        for key in party.keys:
            _need(key.public not in seen)
            seen.add(key.public)
    return view


def _need(holds: bool) -> None:
    if not holds:
        raise NotLoadedError


def _party(entry: Any) -> Party:
    _need(isinstance(entry, dict) and {"party", "kind", "jurisdiction", "keys"} <= entry.keys())
    name, kind, jurisdiction, keys = (entry[key] for key in ("party", "kind", "jurisdiction", "keys"))
    _need(all(isinstance(text, str) for text in (name, kind, jurisdiction)) and isinstance(keys, list))
    _need(is_party_id(name) and kind in KINDS)
    _need(re.fullmatch("" if kind == "BODY" else "[A-Z]{2}", jurisdiction) is not None)
    return Party(name, kind, jurisdiction, tuple(_key(key) for key in keys))


def _key(entry: Any) -> Key:
    _need(isinstance(entry, dict))
    revoked = entry.get("revoked_at_ms")
    start, end = entry.get("not_before_ms"), entry.get("not_after_ms")
    _need(_is_int(start) and _is_int(end) and start < end and (revoked is None or _is_int(revoked)))
    _need(_is_int(entry.get("suite")) and entry["suite"] == 1 and entry.get("use") in USES)
    public_hex = entry.get("public_hex")
    _need(isinstance(public_hex, str) and re.fullmatch("[0-9a-fA-F]{64}", public_hex) is not None)
    public = bytes.fromhex(public_hex)
    _need(not ed25519.is_weak(public))
    return Key(entry["use"], public, start, end, revoked)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
