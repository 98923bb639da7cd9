import json

import pytest
from schemas.vectors.make_world import id_of, key_record, trust

from tocsin.errors import TrustError
from tocsin.light.trust_file import TrustFile
from tocsin.trust import load_parties, load_trust, replaces
from tocsin.wire.keys import KeyUse, PartyKind


def test_a_view_gives_its_parties_and_their_keys():
    view = load_trust({"version": 3, "parties": trust()})
    party = view.party("gb")
    assert view.version == 3
    assert (party.kind, party.jurisdiction) == (PartyKind.MEMBER, "GB")
    assert view.key("gb", id_of("gb", "relay"), KeyUse.RELAY) in party.keys
    assert view.party("nobody") is None


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.0])
def test_a_version_is_a_number_from_1(version):
    with pytest.raises(TrustError):
        load_trust({"version": version, "parties": []})


@pytest.mark.parametrize(
    "parties",
    [
        None,
        {},
        ["gb"],
        [{}],
        [{"party": 1, "kind": "MEMBER", "jurisdiction": "GB", "keys": []}],
        [{"party": "gb", "kind": ["MEMBER"], "jurisdiction": "GB", "keys": []}],
        [{"party": "gb", "kind": "MEMBER", "jurisdiction": None, "keys": []}],
        [{"party": "gb", "kind": "MEMBER", "jurisdiction": "GB"}],
        [{"party": "gb", "kind": "MEMBER", "jurisdiction": "GB", "keys": ["key"]}],
    ],
)
def test_whatever_is_not_a_list_of_parties_is_refused_as_a_trust_error(parties):
    with pytest.raises(TrustError):
        load_parties(parties)


@pytest.mark.parametrize(
    "change",
    [
        {"suite": True},
        {"not_before_ms": "0"},
        {"not_after_ms": None},
        {"revoked_at_ms": "never"},
        {"revoked_at": 5},
        {"public_hex": "zz" * 32},
        {"public_hex": None},
    ],
)
def test_a_key_record_is_typed_and_has_no_member_that_nobody_reads(change):
    party = {"party": "gb", "kind": "MEMBER", "jurisdiction": "GB", "keys": [key_record("gb", "event", **change)]}
    with pytest.raises(TrustError):
        load_parties([party])


def test_an_error_names_the_party():
    with pytest.raises(TrustError, match="gb: the jurisdiction"):
        load_parties(trust(gb={"jurisdiction": "gb"}))


def test_the_version_of_a_view_only_grows():
    old, new = (load_trust({"version": version, "parties": []}) for version in (1, 2))
    assert replaces(old, new) is new
    for refused in (old, load_trust({"version": 1, "parties": trust()})):
        with pytest.raises(TrustError):
            replaces(old, refused)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"version": 2}', "[" * 100_000, "9" * 9_999, '{"version": 2, "parties": [], "version": 3}']
)
def test_a_file_that_is_no_view_is_named_and_changes_nothing_that_holds(tmp_path, caplog, text):
    path = tmp_path / "trust.json"
    file = TrustFile(path)
    path.write_text(text)
    with pytest.raises(TrustError) as fault:
        file.open()
    assert str(path) in fault.value.place
    path.write_text(json.dumps({"version": 1, "parties": trust()}))
    file.open()
    held = file.current()
    path.write_text(text)
    assert file.current() is held
    assert str(path) in caplog.text
