from dataclasses import replace

import pytest
from schemas.vectors.make_report import Plan, build
from schemas.vectors.make_statement import signed
from schemas.vectors.make_world import NOW, trust

from tocsin.trust import load_parties
from tocsin.wire.reasons import Reason, Rejected
from tocsin.wire.statement import PolicyText, StreamHead, encode_statement, is_statement, verify_statement

POLICY = PolicyText("gb", "gb", 1, "incident/1.0", b"", 0)


def test_a_body_of_65536_bytes_is_encoded_and_a_longer_one_refused():
    room = 65_536 - len(encode_statement(POLICY)[1]) - 2  # the length of the text takes two bytes more
    assert len(encode_statement(replace(POLICY, text=bytes(room)))[1]) == 65_536
    with pytest.raises(ValueError, match="65537 bytes"):
        encode_statement(replace(POLICY, text=bytes(room + 1)))


def test_a_body_that_does_not_fit_its_schema_is_not_encoded():
    for wrong in (replace(POLICY, version=2**31), StreamHead("gb", "jp", 0, 2**63, bytes(32), 0)):
        with pytest.raises(ValueError):
            encode_statement(wrong)


def test_the_frame_alone_decides_what_is_a_statement():
    framed = signed()[0]
    assert is_statement(framed)
    assert is_statement(framed[:10])
    for other in (b"", framed[:9], build(Plan()).framed):
        assert not is_statement(other)


def test_the_carriage_is_accused_until_the_signature_is_proven_and_then_the_speaker():
    view = load_parties(trust())
    assert verify_statement(signed()[0], load_parties([]), NOW, None) == Rejected(Reason.STATEMENT_KEY)
    assert verify_statement(signed()[0], view, NOW, ("gb", "ke")) == Rejected(Reason.STATEMENT_PLACE, "gb")
    wrong = signed(sign=lambda _: bytes(64))[0]
    assert verify_statement(wrong, view, NOW, None) == Rejected(Reason.STATEMENT_SIGNATURE)
