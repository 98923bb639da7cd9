from dataclasses import replace
from itertools import product

import pytest

from tocsin.wire.header import Tlp
from tocsin.wire.hop import (
    EMPTY,
    NEVER,
    AudienceKind,
    Code,
    HopBody,
    Limit,
    PolicyRef,
    WhyNot,
    allowed,
    encode_body,
    parse_body,
)
from tocsin.wire.reasons import Reason, Refused

M, A, B, C, P = AudienceKind

BODY = HopBody(
    releaser="gb",
    prev=bytes(32),
    mask_out=0b1110,
    tlp=Tlp.AMBER,
    kind=M,
    audience="jp",
    limits=(Limit(C, 0b10, -1), Limit(P, 0b10, 5), Limit(P, 0b100, NEVER)),
    policy=PolicyRef("gb", 1, b"\x01" * 32),
    reasons=(WhyNot(1, Code.EMBARGOED, 7, "a.b_c-9"),),
    minute=3,
)


def test_a_body_is_read_as_written():
    assert parse_body(encode_body(BODY, 4), 4) == BODY
    lab = replace(BODY, policy=EMPTY, limits=(), reasons=(), mask_out=0)
    assert parse_body(encode_body(lab, 4), 4) == lab


@pytest.mark.parametrize(
    "change",
    [
        {"releaser": "GB"},
        {"audience": "public"},
        {"limits": (Limit(P, 2, 5), Limit(C, 1, 5))},
        {"limits": (Limit(P, 0, 5),)},
        {"policy": PolicyRef("gb", 0, bytes(32))},
        {"reasons": (WhyNot(1, Code.WITHHELD, 7, ""),)},
        {"reasons": (WhyNot(1, Code.WITHHELD, 0, "r" * 65),)},
        {"mask_out": 1 << 4},
        {"minute": 2**31},
        {"reasons": tuple(WhyNot(1 << i, Code.WITHHELD, 0, "r" * 64) for i in range(64))},
    ],
)
def test_a_releaser_cannot_encode_what_would_be_refused(change):
    n = 64 if len(change.get("reasons", ())) == 64 else 4
    with pytest.raises((ValueError, OverflowError)):
        encode_body(replace(BODY, **change), n)


def test_a_limit_ends_at_its_minute_and_never_is_every_minute():
    assert Limit(P, 1, 5).binds(4)
    assert not Limit(P, 1, 5).binds(5)
    assert Limit(P, 1, NEVER).binds(NEVER)


TABLE = {
    Tlp.CLEAR: ({M, A, B, C, P}, {M, A, B, C, P}, {M, A, B, C, P}),
    Tlp.GREEN: ({M, A, B, C}, {M, A, B, C}, {M, A, B, C}),
    Tlp.AMBER: ({M, A, B}, {A}, set()),
    Tlp.AMBER_STRICT: ({M, A, B}, set(), set()),
    Tlp.RED: ({M, A, B}, set(), set()),
}
"""Protocol section 3, "Handling", row by row."""


@pytest.mark.parametrize(("tlp", "kind", "index"), list(product(Tlp, AudienceKind, range(8))))
def test_the_handling_table(tlp, kind, index):
    assert allowed(tlp, kind, index, empty_retraction=False) is (kind in TABLE[tlp][min(index, 2)])
    assert allowed(tlp, kind, index, empty_retraction=True)


def test_a_body_of_more_than_4096_bytes_is_malformed_before_it_is_decoded():
    with pytest.raises(Refused) as refused:
        parse_body(bytes(4_097), 4)
    assert refused.value.reason is Reason.HOP_MALFORMED
