import json
from dataclasses import replace

import pytest

from tocsin.wire.reasons import Note
from tocsin.wire.statement import StreamHead
from tocsin.wire.stream import (
    MAX_NOTED,
    MAX_OPEN,
    OpenRange,
    Position,
    StreamState,
    decode_hint,
    encode_hint,
    head_zero,
    next_head,
    take_head,
    take_record,
)

EPOCH = 1_000


def record(seq):
    return b"%d" % seq


def heads(last, epoch=EPOCH):
    chain = [head_zero("gb", "jp", epoch)]
    for seq in range(1, last + 1):
        chain.append(next_head(chain[-1], seq, record(seq)))
    return chain


def head(seq, value, epoch=EPOCH):
    return StreamHead("gb", "jp", epoch, seq, value, 0)


def begun():
    return take_head(StreamState.empty("gb", "jp"), head(0, heads(0)[0]))[0]


def test_where_the_noted_hashes_are_full_the_greatest_is_dropped_which_may_be_the_new_one():
    state = begun()
    for seq in range(2, MAX_NOTED + 2):
        take_record(state, record(seq), (EPOCH, seq))
    assert len(state.ahead) == MAX_NOTED
    take_record(state, record(MAX_NOTED + 2), (EPOCH, MAX_NOTED + 2))
    assert max(state.ahead) == MAX_NOTED + 1
    take_record(state, b"again", (EPOCH, MAX_NOTED + 1))  # known: nothing grows, nothing is dropped
    assert len(state.ahead) == MAX_NOTED
    take_record(state, record(1), (EPOCH, 1))
    assert min(state.ahead) == 1
    assert max(state.ahead) == MAX_NOTED
    assert len(state.ahead) == MAX_NOTED


def test_open_ranges_count_to_the_cap_and_lose_their_greatest_last():
    last = MAX_NOTED + 10
    state = begun()
    take_head(state, head(last, bytes(32)))
    for seq in range(2, MAX_NOTED + 2):
        take_record(state, record(seq), (EPOCH, seq))
    take_record(state, record(last + 1), (EPOCH, last + 1))
    assert not state.ahead
    take_record(state, record(1), (EPOCH, 1))
    assert max(state.open[0].noted) == MAX_NOTED
    assert len(state.open[0].noted) == MAX_NOTED


def test_of_more_open_ranges_than_are_kept_the_earliest_stay_and_a_further_one_is_still_noted():
    """A peer decides how many there are, and every batch reads and writes them."""
    state = begun()
    for seq in range(1, MAX_OPEN + 3):
        take_record(state, record(seq), (EPOCH, seq))  # noted, but the head says another
        assert take_head(state, head(seq, bytes(31) + b"x"))[1] == [Note.MISMATCH]
    assert [gap.first for gap in state.open] == list(range(1, MAX_OPEN + 1))
    last = MAX_OPEN + 2
    take_record(state, record(last), (EPOCH, last))  # of a range that is not kept
    assert take_record(state, record(last + 1), (EPOCH, last + 1))[1] == []
    assert list(state.ahead) == [last + 1]
    state.open[0] = replace(state.open[0], upper=heads(1)[1])
    assert take_record(state, b"no", (EPOCH, 1))[1] == []
    assert take_record(state, record(1), (EPOCH, 1))[1] == [Note.HEALED]
    assert len(state.open) == MAX_OPEN - 1
    assert take_head(state, head(last + 2, bytes(32)))[1] == [Note.GAP]
    assert state.open[-1].last == last + 2


def test_a_copy_is_not_changed_by_what_comes_later():
    state = begun()
    take_record(state, record(1), (EPOCH, 1))
    take_head(state, head(3, heads(3)[3]))
    kept, before = state.copy(), state.to_json()
    take_record(state, record(2), (EPOCH, 2))
    _, notes = take_record(state, record(3), (EPOCH, 3))
    assert notes == [Note.HEALED]
    assert kept.to_json() == before
    assert kept != state


def test_a_state_is_remembered_as_json():
    state = begun()
    assert StreamState.from_json("", "gb", "jp") == StreamState.empty("gb", "jp")
    assert StreamState.from_json(StreamState.empty("gb", "jp").to_json(), "gb", "jp") == StreamState.empty("gb", "jp")
    take_record(state, record(1), (EPOCH, 1))
    take_head(state, head(3, heads(3)[3]))
    take_record(state, record(4), (EPOCH, 4))
    assert state.position == Position(EPOCH, 3, heads(3)[3])
    assert [(type(gap), gap.first, gap.last) for gap in state.open] == [(OpenRange, 1, 3)]
    assert StreamState.from_json(json.dumps(json.loads(state.to_json())), "gb", "jp") == state


@pytest.mark.parametrize("raw", [None, b"", bytes(15), bytes(17), b"\x80" + bytes(15), bytes(8) + b"\xff" * 8])
def test_what_is_no_hint(raw):
    assert decode_hint(raw) is None


def test_hints_are_read_as_written():
    assert decode_hint(encode_hint(EPOCH, 2**63 - 1)) == (EPOCH, 2**63 - 1)


def test_names_of_more_than_255_bytes_have_no_stream():
    head_zero("gb", "a" * 255, 0)
    for names in (("gb", "é" * 128), ("a" * 256, "jp")):
        with pytest.raises(ValueError):
            head_zero(*names, 0)
