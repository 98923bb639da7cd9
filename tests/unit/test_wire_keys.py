import json
from hashlib import sha256
from pathlib import Path

import pytest
from schemas.vectors.make_trust import WEAK

from tocsin.wire.keys import (
    Key,
    KeyUse,
    Party,
    PartyKind,
    TrustView,
    is_party_id,
    is_weak,
    key_id,
    pae,
    verify_signature,
)

SHARED = Path(__file__).parents[3] / "shared" / "vectors"
WYCHEPROOF = SHARED / "wycheproof" / "ed25519_test.json"
CCTV = SHARED / "cctv" / "ed25519vectors.json"


def accepted(public, message, signature):
    """The rule of protocol section 1: the key is not weak, and the signature satisfies the equation."""
    return not is_weak(public) and verify_signature(public, message, signature)


@pytest.mark.skipif(not WYCHEPROOF.is_file(), reason=f"no third-party vectors in {WYCHEPROOF}")
def test_wycheproof_agrees_with_the_rule():
    cases = [(group, test) for group in json.loads(WYCHEPROOF.read_text())["testGroups"] for test in group["tests"]]
    assert len(cases) > 100
    for group, test in cases:
        public, message, signature = (
            bytes.fromhex(text) for text in (group["publicKey"]["pk"], test["msg"], test["sig"])
        )
        assert accepted(public, message, signature) is (test["result"] == "valid"), test["tcId"]


@pytest.mark.skipif(not CCTV.is_file(), reason=f"no third-party vectors in {CCTV}")
def test_of_cctv_only_what_has_no_low_order_and_nothing_non_canonical_is_accepted():
    cases = json.loads(CCTV.read_text())
    assert len(cases) > 900
    for case in cases:
        signed = (bytes.fromhex(case["key"]), case["msg"].encode(), bytes.fromhex(case["sig"]))
        assert accepted(*signed) is (not case["flags"]), case["number"]
    assert any(not case["flags"] for case in cases)


@pytest.mark.parametrize("point", WEAK.values(), ids=WEAK)
def test_a_point_whose_order_is_not_l_is_weak(point):
    assert is_weak(bytes.fromhex(point))


def test_a_signature_of_another_length_is_none():
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(  # RFC 8032, section 7.1, test 2
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify_signature(public, b"\x72", signature)
    for wrong in (b"", signature[:-1], signature + b"\0"):
        assert not verify_signature(public, b"\x72", wrong)
    assert is_weak(public[:-1])


def test_pae_is_that_of_dsse():
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("ü", b"\xff") == b"DSSEv1 2 \xc3\xbc 1 \xff"


def test_a_key_id_binds_suite_and_use():
    public = bytes(range(32))
    assert key_id(1, "event", public) == sha256(b"tocsin/key/v1\0\x01event\0" + public).digest()[:16]
    assert key_id(1, KeyUse.EVENT, public) == key_id(1, "event", public)
    assert len({key_id(1, "event", public), key_id(1, "relay", public), key_id(2, "event", public)}) == 3


@pytest.mark.parametrize("text", ["g", "gb", "0-9", "a" * 32, "community", "publics"])
def test_party_ids(text):
    assert is_party_id(text)


@pytest.mark.parametrize(
    "text", ["", "-", "a-", "-a", "A", "a.b", "a" * 33, "public", "community-", "community-a", "a\n", "é"]
)
def test_what_is_no_party_id(text):
    assert not is_party_id(text)


def test_a_key_is_found_by_party_id_and_use_whatever_its_window():
    key = Key(KeyUse.RELAY, 1, bytes(range(32)), 10, 20, revoked_at_ms=15)
    view = TrustView(1, {"gb": Party("gb", PartyKind.MEMBER, "GB", (key,))})
    assert view.key("gb", key.key_id, KeyUse.RELAY) is key
    assert view.key("gb", key.key_id, KeyUse.EVENT) is None
    assert view.key("jp", key.key_id, KeyUse.RELAY) is None
    assert [key.valid_at(t) for t in (9, 10, 19, 20)] == [False, True, True, False]
    assert [key.revoked(t) for t in (14, 15)] == [False, True]
