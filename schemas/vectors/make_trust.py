# ruff: noqa: INP001 - scripts beside their data
"""Trust vectors: every sentence of protocol section 1 that a view can break."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.vectors.make_world import BEGIN, key_record

if TYPE_CHECKING:
    from collections.abc import Iterator

Named = tuple[str, dict[str, Any]]

# Encodings of points whose order is not L, and encodings that are not canonical (little-endian y, sign bit on top).
WEAK = {
    "identity": "01" + "00" * 31,
    "order-2": "ec" + "ff" * 30 + "7f",
    "order-4": "00" * 32,
    "order-8": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "identity-sign": "01" + "00" * 30 + "80",
    "not-canonical-0": "ed" + "ff" * 30 + "7f",
    "not-canonical-1": "ee" + "ff" * 30 + "7f",
    "not-on-curve": "02" + "00" * 31,
    # the base point plus the point of order 2: order 2L
    "mixed-order": "95" + "99" * 30 + "99",
}


def party(name: str = "gb", **changes: Any) -> dict[str, Any]:
    """A party with both keys."""
    keys = [key_record("gb", "event"), key_record("gb", "relay")]
    return {"party": name, "kind": "MEMBER", "jurisdiction": "GB", "keys": keys} | changes


def one_key(**changes: Any) -> dict[str, Any]:
    """A party with one key."""
    return party(keys=[key_record("gb", "event", **changes)])


def trusts() -> Iterator[Named]:
    """Every trust vector, by name of its file."""
    for name, about, view in _loaded():
        yield name, {"about": about, "trust": view, "expect": {"loaded": True}}
    for name, about, view in _refused():
        yield name, {"about": about, "trust": view, "expect": {"loaded": False}}


def _loaded() -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    yield "empty", "nobody", []
    yield "no-keys", "a party without keys", [party(keys=[])]
    yield (
        "two-keys",
        "two keys of one use, windows as they like",
        [party(keys=[key_record("gb", "event"), key_record("jp", "event")])],
    )
    yield "log-key", "the reserved use may be listed", [party(keys=[key_record("gb", "log")])]
    yield "body", "a BODY without a jurisdiction", [party("world-body", kind="BODY", jurisdiction="")]
    yield (
        "eu",
        "EU as a jurisdiction; only the form is checked",
        [party(jurisdiction="EU"), party("zz", jurisdiction="ZZ", keys=[])],
    )
    yield (
        "id-forms",
        "ids of one and of 32 characters",
        [party("0", keys=[]), party("a" + "-" * 30 + "9", keys=[]), party("community", keys=[])],
    )
    yield "window", "a window of 1 ms", [one_key(not_before_ms=BEGIN, not_after_ms=BEGIN + 1)]
    record = key_record("gb", "event")
    del record["revoked_at_ms"]
    yield "revoked-absent", "revoked_at_ms is optional", [party(keys=[record])]
    yield "revoked", "a revoked key is listed", [one_key(revoked_at_ms=BEGIN)]


def _refused() -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    for name, text in (
        ("empty", ""),
        ("capital", "Gb"),
        ("dot", "g.b"),
        ("hyphen-first", "-gb"),
        ("hyphen-last", "gb-"),
        ("long", "g" * 33),
        ("newline", "gb\n"),
        ("public", "public"),
        ("community", "community-x"),
        ("digit", "gb٣"),
    ):
        yield f"id-{name}", f"not a party id: {name}", [party(text)]
    for name, kind, place in (
        ("kind", "INSTITUTE", "GB"),
        ("kind-group", "PUBLIC", "GB"),
        ("jurisdiction-small", "MEMBER", "gb"),
        ("jurisdiction-long", "MEMBER", "GBR"),
        ("jurisdiction-newline", "MEMBER", "GB\n"),
        ("jurisdiction-none", "MEMBER", ""),
        ("jurisdiction-lab", "LAB", ""),
        ("jurisdiction-authority", "AUTHORITY", ""),
        ("jurisdiction-body", "BODY", "CH"),
    ):
        yield name, f"kind {kind}, jurisdiction {place!r}", [party(kind=kind, jurisdiction=place)]
    yield "use", "an unknown use", [one_key(use="sign")]
    yield "suite-0", "suite 0", [one_key(suite=0)]
    yield "suite-2", "suite 2", [one_key(suite=2)]
    yield "window-empty", "not_before_ms equals not_after_ms", [one_key(not_before_ms=BEGIN, not_after_ms=BEGIN)]
    yield "window-reversed", "not_before_ms after not_after_ms", [one_key(not_before_ms=BEGIN + 1, not_after_ms=BEGIN)]
    for name, point in WEAK.items():
        yield f"weak-{name}", f"a weak public key: {name}", [one_key(public_hex=point)]
    yield "key-short", "a public key of 31 bytes", [one_key(public_hex="11" * 31)]
    yield "party-twice", "a party is listed twice", [party(), party(keys=[])]
    yield "key-twice", "a key is listed twice", [party(keys=[key_record("gb", "event")] * 2)]
    changed = [key_record("gb", "event"), key_record("gb", "event", not_after_ms=BEGIN + 1)]
    yield "key-two-windows", "a key is listed twice, with two windows", [party(keys=changed)]
    uses = [key_record("gb", "event"), key_record("gb", "event", use="relay")]
    yield "key-two-uses", "a key serves two uses", [party(keys=uses)]
    other = party("jp", jurisdiction="JP", keys=[key_record("gb", "event")])
    yield "key-two-parties", "a key serves two parties", [party(), other]
    other = party("jp", jurisdiction="JP", keys=[key_record("gb", "event", use="relay")])
    yield "key-two-parties-uses", "a key serves two parties, in two uses", [party(), other]
