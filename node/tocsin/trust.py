"""The trust view: parties and their keys, from the pinned document (protocol section 1).

A view that breaks any sentence of that section is not loaded, whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tocsin.errors import TrustError
from tocsin.wire.keys import SUITE_ED25519_SHA256, Key, KeyUse, Party, PartyKind, TrustView, is_party_id, is_weak

_JURISDICTION = re.compile(r"[A-Z]{2}")
_PUBLIC_HEX = re.compile(r"[0-9a-fA-F]{64}")
_PARTY_FIELDS = frozenset({"party", "kind", "jurisdiction", "keys"})
_KEY_FIELDS = frozenset({"use", "suite", "public_hex", "not_before_ms", "not_after_ms", "revoked_at_ms"})


def load_trust(document: Mapping[str, Any]) -> TrustView:
    """The view of `{"version": int ≥ 1, "parties": [...]}`; `TrustError` where it breaks a rule."""
    _only(document, frozenset({"version", "parties"}), "the trust view")
    version = _integer(document, "version", "the trust view")
    if version < 1:
        raise TrustError("the version is a number from 1", place="version")
    return load_parties(document.get("parties"), version=version)


def load_parties(parties: Any, *, version: int = 1) -> TrustView:
    """The view of the list of parties alone, as vectors give it; `TrustError` where it breaks a rule."""
    if not isinstance(parties, list):
        raise TrustError("the parties are a list", place="parties")
    known: dict[str, Party] = {}
    owners: dict[bytes, str] = {}
    for entry in parties:
        party = _party(entry)
        if party.id in known:
            raise TrustError("the party is listed twice", place=party.id)
        known[party.id] = party
        for key in party.keys:
            if key.public in owners:
                raise TrustError(
                    f"a key serves one party and one use; this one is listed for {owners[key.public]} already",
                    place=f"{party.id}, key {key.key_id.hex()}",
                )
            owners[key.public] = party.id
    return TrustView(version, known)


def replaces(old: TrustView, new: TrustView) -> TrustView:
    """The new view, if its version is greater than the old one's; `TrustError` otherwise."""
    if new.version <= old.version:
        raise TrustError(
            f"version {new.version} does not follow version {old.version}",
            place="version",
            remedy="A trust view's version only grows: raise it with every change.",
        )
    return new


def _party(entry: Any) -> Party:
    _only(entry, _PARTY_FIELDS, "a party")
    name, kind, jurisdiction = entry.get("party"), entry.get("kind"), entry.get("jurisdiction")
    if not isinstance(name, str) or not is_party_id(name):
        raise TrustError(
            "not a party id", place=repr(name), remedy="1 to 32 of a-z, 0-9 and inner hyphens; no name of a group."
        )
    if kind not in _names(PartyKind):
        raise TrustError(f"not a kind of party: {kind!r}", place=name, remedy=f"One of {', '.join(PartyKind)}.")
    if not isinstance(jurisdiction, str) or not (
        jurisdiction == "" if kind == PartyKind.BODY else _JURISDICTION.fullmatch(jurisdiction)
    ):
        raise TrustError("the jurisdiction is two capitals, and empty exactly for a BODY", place=name)
    keys = entry.get("keys")
    if not isinstance(keys, list):
        raise TrustError("the keys are a list", place=name)
    return Party(name, PartyKind(kind), jurisdiction, tuple(_key(key, name) for key in keys))


def _key(entry: Any, party: str) -> Key:
    place = f"a key of {party}"
    _only(entry, _KEY_FIELDS, place)
    use, text = entry.get("use"), entry.get("public_hex")
    if use not in _names(KeyUse):
        raise TrustError(f"not a use of a key: {use!r}", place=place, remedy=f"One of {', '.join(KeyUse)}.")
    suite = _integer(entry, "suite", place)
    if suite != SUITE_ED25519_SHA256:
        raise TrustError(f"suite {suite} is not known", place=place, remedy="Suite 1 is Ed25519 with SHA-256.")
    if not isinstance(text, str) or not _PUBLIC_HEX.fullmatch(text):
        raise TrustError("public_hex is 64 hexadecimal digits", place=place)
    public = bytes.fromhex(text)
    if is_weak(public):
        remedy = "Ask the party for a new key."
        raise TrustError(
            "the public key is weak: no canonical point of order L", place=f"{place}, {text}", remedy=remedy
        )
    begin, end = _integer(entry, "not_before_ms", place), _integer(entry, "not_after_ms", place)
    if begin >= end:
        raise TrustError("not_before_ms is before not_after_ms", place=place)
    revoked = None if entry.get("revoked_at_ms") is None else _integer(entry, "revoked_at_ms", place)
    return Key(KeyUse(use), suite, public, begin, end, revoked)


def _names(words: Iterable[str]) -> list[str]:
    return [str(word) for word in words]


def _integer(entry: Mapping[str, Any], name: str, place: str) -> int:
    value = entry.get(name)
    if type(value) is not int:
        raise TrustError(f"{name} is a whole number", place=place)
    return value


def _only(entry: Any, fields: frozenset[str], place: str) -> None:
    """An object with no member that nobody reads: a misspelt `revoked_at_ms` must not un-revoke a key."""
    if not isinstance(entry, Mapping):
        raise TrustError("not an object", place=place)
    unknown = entry.keys() - fields
    if unknown:
        raise TrustError(f"unknown member {min(unknown)!r}", place=place, remedy=f"Known: {', '.join(sorted(fields))}.")
