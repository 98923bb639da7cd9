"""The chain of hops: section 6, step 4, by the rules of section 3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.conformance.second.messages import (
    FOREVER,
    HOP_BODY,
    KIND,
    TLP,
    ZEROS,
    has_id_form,
    is_party_id,
    refuse_unless,
    sha256,
    slots_of,
    strict,
)

NAMED = ("MEMBER", "AUTHORITY", "BODY")
MAX_HOPS, MAX_BODY, DAY_MINUTES = 8, 4_096, 1_440


@dataclass(frozen=True)
class Hop:
    """One hop that has passed step 4."""

    raw: bytes
    key_id: bytes
    signature: bytes
    body: dict[str, Any]
    mask_out: int

    @property
    def hash(self) -> bytes:
        """What the next hop's prev is."""
        return sha256(b"tocsin/hop/v1\0", self.raw, self.key_id, self.signature)

    def is_free(self, header: dict[str, Any]) -> bool:
        """Whether the handling table does not bind it: an empty hop of a retraction."""
        return self.mask_out == 0 and header["stage"] == "RETRACTION"


def read(listed: list[dict[str, Any]], header: dict[str, Any], n: int, mask: int, leaf: bytes) -> list[Hop]:
    """The chain that an envelope carries; raises RefusedError."""
    refuse_unless(1 <= len(listed) <= MAX_HOPS, "HOPS_COUNT")
    chain: list[Hop] = []
    for given in listed:
        chain.append(_hop(given, chain, header, n, leaf))
    refuse_unless(chain[-1].mask_out == mask, "HOP_MASK")
    return chain


def _hop(given: dict[str, Any], chain: list[Hop], header: dict[str, Any], n: int, leaf: bytes) -> Hop:
    refuse_unless(len(given["body"]) <= MAX_BODY, "HOP_MALFORMED")
    body = strict(HOP_BODY, given["body"], "HOP_MALFORMED")
    _check_fields(body, n)
    previous = chain[-1] if chain else None
    refuse_unless(body["prev"] == (previous.hash if previous else leaf), "HOP_PREV")
    refuse_unless(_may_release(body["releaser"], chain, header), "HOP_RELEASER")
    mask_in = previous.mask_out if previous else (1 << n) - 1
    mask_out = slots_of(body["mask_out"], n)
    refuse_unless(mask_out is not None and mask_out & ~mask_in == 0, "HOP_MASK")
    hop = Hop(given["body"], given["key_id"], given["signature"], body, int(mask_out or 0))
    _check_reasons(body["reasons"], n, mask_in & ~hop.mask_out)
    least = previous.body["tlp"] if previous else header["tlp"]
    refuse_unless(TLP.symbols.index(body["tlp"]) >= TLP.symbols.index(least), "HOP_TLP")
    refuse_unless(hop.is_free(header) or _may_go_to(body["tlp"], len(chain), body["kind"]), "HOP_HANDLING")
    refuse_unless(not any(_forbids(earlier, hop, n) for earlier in chain), "HOP_LIMIT")
    not_before = previous.body["minute"] if previous else header["created_day"] * DAY_MINUTES
    refuse_unless(body["minute"] >= not_before, "HOP_TIME")
    return hop


def _check_fields(body: dict[str, Any], n: int) -> None:
    """The syntax and order of a hop's own fields."""
    kind, audience, policy = body["kind"], body["audience"], body["policy"]
    refuse_unless(is_party_id(body["releaser"]), "HOP_INVALID")
    if kind == "PUBLIC":
        refuse_unless(audience == "public", "HOP_INVALID")
    elif kind == "COMMUNITY":
        refuse_unless(re.fullmatch(r"community-[a-z0-9-]{1,32}", audience) is not None, "HOP_INVALID")
    else:
        refuse_unless(is_party_id(audience), "HOP_INVALID")
    seen = dict.fromkeys(KIND.symbols, 0)
    last = (-1, 0)
    for limit in body["limits"]:
        slots, place = slots_of(limit["slots"], n), (KIND.symbols.index(limit["kind"]), limit["until"])
        refuse_unless(slots is not None and slots > 0 and slots & seen[limit["kind"]] == 0, "HOP_INVALID")
        refuse_unless(last < place, "HOP_INVALID")
        seen[limit["kind"]] |= int(slots or 0)
        last = place
    is_empty = policy == {"id": "", "version": 0, "sha256": ZEROS}
    refuse_unless(is_empty or (has_id_form(policy["id"]) and policy["version"] >= 1), "HOP_INVALID")


def _may_release(releaser: str, chain: list[Hop], header: dict[str, Any]) -> bool:
    if not chain:
        return bool(releaser == header["origin"])
    before = chain[-1].body
    if before["kind"] == "COMMUNITY" or any(hop.body["releaser"] == releaser for hop in chain):
        return False
    return bool(before["kind"] == "PUBLIC" or before["audience"] == releaser)


def _check_reasons(reasons: list[dict[str, Any]], n: int, withheld: int) -> None:
    explained = 0
    for reason in reasons:
        slots = slots_of(reason["slots"], n)
        refuse_unless(slots is not None and slots > 0 and slots & explained == 0, "HOP_REASONS")
        explained |= int(slots or 0)
        until, embargoed = reason["until"], reason["code"] == "EMBARGOED"
        refuse_unless(until > 0 if embargoed else until == 0, "HOP_REASONS")
        refuse_unless(re.fullmatch(r"[a-z0-9._-]{0,64}", reason["rule"]) is not None, "HOP_REASONS")
    refuse_unless(explained == withheld, "HOP_REASONS")


def _may_go_to(tlp: str, i: int, kind: str) -> bool:
    """The table of section 3; whose authority it is, is step 6's."""
    if tlp == "CLEAR":
        return True
    if tlp == "GREEN":
        return kind != "PUBLIC"
    if i == 0:
        return kind in NAMED
    return tlp == "AMBER" and i == 1 and kind == "AUTHORITY"


def _forbids(earlier: Hop, hop: Hop, n: int) -> bool:
    for limit in earlier.body["limits"]:
        binds = limit["until"] == FOREVER or hop.body["minute"] < limit["until"]
        if limit["kind"] == hop.body["kind"] and binds and int(slots_of(limit["slots"], n) or 0) & hop.mask_out:
            return True
    return False
