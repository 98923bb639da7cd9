"""Every vector under schemas/vectors through tocsin, and every committed vector as its script writes it."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from schemas.vectors import generate

from tocsin.errors import SchemaError, TrustError
from tocsin.report.schema import KnownSchemas, load_schema
from tocsin.trust import load_parties
from tocsin.wire.envelope import Draft, frame_envelope, parse_envelope, sign_draft, with_hop, withhold
from tocsin.wire.header import Header, Stage, Tlp, encode_header
from tocsin.wire.hop import HOP_TYPE, Hop, encode_body, parse_body
from tocsin.wire.keys import key_id, pae
from tocsin.wire.reasons import Reason, Rejected
from tocsin.wire.slots import ctx, slot_digest
from tocsin.wire.statement import (
    Descriptor,
    PolicyText,
    Receipt,
    StreamHead,
    encode_statement,
    frame_statement,
    is_statement,
    verify_statement,
)
from tocsin.wire.stream import (
    StreamState,
    decode_hint,
    encode_hint,
    head_zero,
    next_head,
    take_head,
    take_record,
)
from tocsin.wire.verify import verify

ROOT = Path(__file__).parents[2] / "schemas" / "vectors"
STATEMENTS = {"stream-head": StreamHead, "receipt": Receipt, "policy": PolicyText, "descriptor": Descriptor}


def vectors(*folders):
    files = [file for folder in folders for file in sorted((ROOT / folder).glob("*.json"))]
    return pytest.mark.parametrize("file", files, ids=lambda file: f"{file.parent.name}/{file.stem}")


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def schemas_of(vector):
    """Exactly the schemas of the vector; one that breaks a rule of protocol section 7 counts as not known."""
    known = []
    for name, text in vector["schemas"].items():
        try:
            known.append(load_schema(name, text.encode()))
        except SchemaError:
            continue
    return KnownSchemas(known)


def came_by(vector):
    return vector["came_by"] and (vector["came_by"]["releaser"], vector["came_by"]["audience"])


@vectors("accept", "reject")
def test_a_report_gets_the_verdict_of_its_vector(file):
    vector = read(file)
    held = {bytes.fromhex(leaf) for leaf in vector["held"]}
    framed, trust = bytes.fromhex(vector["envelope_hex"]), load_parties(vector["trust"])
    verdict = verify(framed, trust, schemas_of(vector), vector["now_ms"], came_by(vector), held.__contains__)
    if isinstance(verdict, Rejected):
        assert {"reason": verdict.reason.value} == vector["expect"]
    else:
        assert {
            "leaf_hex": verdict.leaf.hex(),
            "disclosed": {str(i): value.hex() for i, value in verdict.envelope.disclosed.items()},
            "chain": [hop.releaser for hop in verdict.hops],
        } == vector["expect"]
        assert frame_envelope(verdict.envelope) == framed
        assert verdict.loose is (vector["came_by"] is None)


@vectors("statement")
def test_a_statement_gets_the_verdict_of_its_vector(file):
    vector = read(file)
    framed, trust = bytes.fromhex(vector["statement_hex"]), load_parties(vector["trust"])
    verdict = verify_statement(framed, trust, vector["now_ms"], came_by(vector))
    if isinstance(verdict, Rejected):
        assert {"reason": verdict.reason.value} == vector["expect"]
    else:
        assert {"type": verdict.type, "body_hex": verdict.body_bytes.hex()} == vector["expect"]
        assert encode_statement(verdict.body) == (verdict.type, verdict.body_bytes)


@vectors("trust")
def test_a_trust_view_is_loaded_or_not_as_its_vector_says(file):
    vector = read(file)
    try:
        load_parties(vector["trust"])
    except TrustError:
        loaded = False
    else:
        loaded = True
    assert {"loaded": loaded} == vector["expect"]


@vectors("stream")
def test_a_stream_shows_the_notes_positions_and_ranges_of_its_vector(file):
    vector = read(file)
    stream = (vector["stream"]["releaser"], vector["stream"]["audience"])
    trust, state, shown = load_parties(vector["trust"]), StreamState.empty(*stream), {}
    steps = []
    for item in vector["items"]:
        framed, notes = bytes.fromhex(item.get("record_hex", item.get("statement_hex"))), []
        if is_statement(framed):
            verdict = verify_statement(framed, trust, vector["now_ms"], stream)
            if not isinstance(verdict, Rejected) and isinstance(verdict.body, StreamHead):
                head = verdict.body
                state, notes = take_head(state, head, shown.setdefault((head.epoch, head.seq), head.head))
        else:
            hint = item.get("hint_hex")
            state, notes = take_record(state, framed, decode_hint(hint and bytes.fromhex(hint)))
        at = state.position
        steps.append(
            {
                "notes": [note.value for note in notes],
                "position": at and [at.epoch, at.seq, at.head.hex()],
                "open": [[gap.epoch, gap.first, gap.last] for gap in state.open],
            }
        )
        state = StreamState.from_json(state.to_json(), *stream)  # what is remembered is enough to go on
    assert steps == vector["expect"]["steps"]


@vectors("build")
def test_the_inputs_of_a_build_vector_give_every_intermediate(file):
    vector = read(file)
    expect = vector["expect"]
    for name, key in vector.get("keys", {}).items():
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed_hex"]))
        public = private.public_key().public_bytes_raw()
        assert public.hex() == key["public_hex"]
        assert key_id(1, name.partition("/")[2], public).hex() == key["key_id_hex"]
    if "header" in vector:
        check_report(vector, expect)
    elif "body" in vector:
        check_statement(vector, expect)
    else:
        check_stream(vector, expect)


def sign(vector, name, message):
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["keys"][name]["seed_hex"])).sign(message)


def check_report(vector, expect):
    fields = vector["header"]
    binary = {name: bytes.fromhex(fields[name]) for name in ("key_id", "incident", "prev", "schema_sha256")}
    header = Header(**fields | binary | {"stage": Stage(fields["stage"]), "tlp": Tlp[fields["tlp"]]})
    values = tuple(bytes.fromhex(value) for value in vector["values_hex"])
    draft = Draft(encode_header(header), values, tuple(bytes.fromhex(salt) for salt in vector["salts_hex"]))
    context = ctx(draft.header)
    digests = [slot_digest(context, i, draft.salts[i], values[i]) for i in range(len(values))]
    signature = sign(vector, f"{header.origin}/event", draft.entry)
    assert draft.header.hex() == expect["header_hex"]
    assert context.hex() == expect["ctx_hex"]
    assert [digest.hex() for digest in digests] == expect["slots_hex"]
    assert draft.slots_root.hex() == expect["slots_root_hex"]
    assert draft.entry.hex() == expect["entry_hex"]
    assert draft.leaf.hex() == expect["leaf_hex"]
    assert signature.hex() == expect["signature_hex"]
    envelope = sign_draft(draft, signature)
    for step, want in zip(vector["hops"], expect["hop_signatures_hex"], strict=True):
        raw, name = bytes.fromhex(step["body_hex"]), f"{step['releaser']}/relay"
        body = parse_body(raw, envelope.n)
        assert encode_body(body, envelope.n) == raw
        signed = sign(vector, name, pae(HOP_TYPE, raw))
        assert signed.hex() == want
        hop = Hop(raw, bytes.fromhex(vector["keys"][name]["key_id_hex"]), signed)
        envelope = with_hop(withhold(envelope, body.mask_out), hop)
    assert frame_envelope(envelope).hex() == expect["envelope_hex"]
    assert parse_envelope(bytes.fromhex(expect["envelope_hex"])) == envelope


def check_statement(vector, expect):
    kind = STATEMENTS[expect["type"].removeprefix("application/vnd.tocsin.").partition(".")[0]]
    fields = dict(vector["body"])
    for name in {"head", "record", "leaf", "report", "text"} & fields.keys():
        fields[name] = bytes.fromhex(fields[name])
    if kind is Descriptor:
        fields["policies"] = [
            (policy["schema"], policy["id"], policy["version"], bytes.fromhex(policy["sha256"]))
            for policy in fields["policies"]
        ]
        fields["schemas"] = [bytes.fromhex(digest) for digest in fields["schemas"]]
    name, raw = encode_statement(kind(**fields))
    assert (name, raw.hex()) == (expect["type"], expect["body_hex"])
    signature = sign(vector, "gb/relay", pae(name, raw))
    framed = frame_statement(name, raw, bytes.fromhex(expect["key_id_hex"]), signature)
    assert framed.hex() == expect["statement_hex"]


def check_stream(vector, expect):
    stream = vector["stream"]
    head = head_zero(stream["releaser"], stream["audience"], stream["epoch"])
    heads, hints = [head.hex()], []
    for seq, record in enumerate(vector["records_hex"], 1):
        head = next_head(head, seq, bytes.fromhex(record))
        heads.append(head.hex())
        hints.append(encode_hint(stream["epoch"], seq).hex())
    assert {"heads_hex": heads, "hints_hex": hints} == expect


def test_there_is_a_vector_for_every_reason_and_for_no_other():
    files = [*(ROOT / "reject").glob("*.json"), *(ROOT / "statement").glob("*.json")]
    shown = {read(file)["expect"].get("reason") for file in files} - {None}
    assert shown == {reason.value for reason in Reason} - {Reason.INTERNAL.value}


def test_what_is_committed_is_what_the_script_writes():
    made, there = generate.vectors(), generate.committed()
    assert made.keys() == there.keys()
    differing = [path for path, text in made.items() if there[path] != text]
    assert not differing, f"run python -m schemas.vectors.generate; these differ: {differing}"
