"""`tocsin verify`: check framed files, or run conformance vectors, and print one JSON line per file.

A vector is judged by exactly the schemas and the trust that it holds (protocol section 9); a file by the node's trust
view, or the one that is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.output import DONE, FAILED, UNVERIFIED, command, complain, now_ms, print_json, refused_by_the_system
from tocsin.cli.trust import known_trust
from tocsin.errors import InputError, SchemaError, TrustError
from tocsin.flow.vector import run_policy_vector
from tocsin.foreign_file import read_foreign
from tocsin.packaged import published_schemas
from tocsin.report.schema import KnownSchemas, Schema, load_schema
from tocsin.trust import load_parties
from tocsin.wire.keys import TrustView
from tocsin.wire.reasons import Note, Rejected
from tocsin.wire.statement import StreamHead, is_statement, verify_statement
from tocsin.wire.stream import StreamState, decode_hint, take_head, take_record
from tocsin.wire.verify import Schemas, verify

Files = Annotated[list[Path], typer.Argument(help="Framed files (.tocsin), or vectors with --vector.", exists=True)]
Vector = Annotated[bool, typer.Option("--vector", help="The files are conformance vectors (protocol section 9).")]
Trust = Annotated[Path | None, typer.Option("--trust", help="A trust view instead of the node's own.", exists=True)]

_MISSHAPEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a value of another shape than protocol section 9 says ends in, wherever it is first used."""


@command
async def verify_files(files: Files, vector: Vector = False, trust: Trust = None) -> int:
    """Verify framed files offline, or run conformance vectors. One JSON line per file.

    Exit code 3 if one is refused, 1 if one cannot be read: that is said on the standard error, and the others are done.
    """
    code = DONE
    view = None if vector else known_trust(trust)
    for file in files:
        try:
            answer = _file(file, view) if view is not None else _vector(file)
        except InputError as fault:
            complain(fault)
            code = FAILED
            continue
        if view is not None and "reason" in answer and code == DONE:
            code = UNVERIFIED
        print_json({"file": str(file), **answer})
    return code


def run_vector(vector: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to one vector of any kind."""
    if "policy" in vector:
        return {"decision": run_policy_vector(vector)}
    try:
        trust = load_parties(vector["trust"])
    except TrustError:
        return {"loaded": False}
    if "stream" in vector:
        return {"steps": _steps(vector, trust)}
    if "envelope_hex" in vector or "statement_hex" in vector:
        came_by = vector.get("came_by")
        place = (came_by["releaser"], came_by["audience"]) if came_by else None
        held = {bytes.fromhex(leaf) for leaf in vector.get("held", [])}
        framed = bytes.fromhex(vector.get("envelope_hex") or vector.get("statement_hex") or "")
        statement = "statement_hex" in vector
        return _judge(framed, trust, _schemas(vector), vector["now_ms"], place, held.__contains__, statement=statement)
    return {"loaded": True}


def _judge(
    framed: bytes,
    trust: TrustView,
    schemas: Schemas,
    now: int,
    came_by: tuple[str, str] | None,
    held: Any,
    *,
    statement: bool | None = None,
) -> dict[str, Any]:
    if is_statement(framed) if statement is None else statement:
        told = verify_statement(framed, trust, now, came_by)
        if isinstance(told, Rejected):
            return {"reason": told.reason.value}
        return {"type": told.type, "body_hex": told.body_bytes.hex()}
    verdict = verify(framed, trust, schemas, now, came_by, held)
    if isinstance(verdict, Rejected):
        return {"reason": verdict.reason.value}
    return {
        "leaf_hex": verdict.leaf.hex(),
        "disclosed": {str(slot): value.hex() for slot, value in verdict.envelope.disclosed.items()},
        "chain": [hop.releaser for hop in verdict.hops],
    }


def _steps(vector: Mapping[str, Any], trust: TrustView) -> list[dict[str, Any]]:
    """The reader's side of a stream, item by item (protocol section 4)."""
    stream = vector["stream"]
    came_by = (stream["releaser"], stream["audience"])
    state = StreamState.empty(*came_by)
    shown: dict[tuple[int, int], bytes] = {}
    steps = []
    for item in vector["items"]:
        framed = bytes.fromhex(item.get("record_hex") or item.get("statement_hex") or "")
        notes: list[Note] = []
        if is_statement(framed):
            told = verify_statement(framed, trust, vector["now_ms"], came_by)
            if not isinstance(told, Rejected) and isinstance(told.body, StreamHead):
                at = (told.body.epoch, told.body.seq)
                state, notes = take_head(state, told.body, shown.get(at))
                shown.setdefault(at, told.body.head)
        else:
            hint = item.get("hint_hex")
            state, notes = take_record(state, framed, decode_hint(bytes.fromhex(hint) if hint is not None else None))
        at_now = state.position
        steps.append(
            {
                "notes": [note.value for note in notes],
                "position": [at_now.epoch, at_now.seq, at_now.head.hex()] if at_now else None,
                "open": [[gap.epoch, gap.first, gap.last] for gap in state.open],
            }
        )
    return steps


def _schemas(vector: Mapping[str, Any]) -> KnownSchemas:
    """Exactly those of the vector; one that breaks a rule counts as not known (protocol section 7)."""
    found: list[Schema] = []
    for schema_id, text in (vector.get("schemas") or {}).items():
        try:
            found.append(load_schema(schema_id, text.encode()))
        except SchemaError:
            continue
    return KnownSchemas(found)


def _file(file: Path, trust: TrustView) -> dict[str, Any]:
    """The answer to one framed file."""
    try:
        framed = file.read_bytes()
    except OSError as error:
        raise refused_by_the_system(error) from error
    answer = _judge(framed, trust, published_schemas(), now_ms(), None, lambda _: False)
    if "chain" in answer:
        answer["note"] = "a loose file: it may lack later hops, and nothing ties the last one to its reader"
    return answer


def _loosely_a_trust_view(file: Path) -> bool:
    """Whether a file that is no strict JSON holds a trust view for a lax reader: then it is one that is not loaded."""
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError, OSError):
        return False
    return isinstance(found, Mapping) and "trust" in found


def _vector(file: Path) -> dict[str, Any]:
    """The answer to the vector of a file."""
    remedy = "schemas/README.md says in section 9 what a vector holds"
    try:
        vector = read_foreign(file, "the vector", remedy=remedy)
    except InputError:
        if _loosely_a_trust_view(file):
            return {"loaded": False}
        raise
    try:
        return run_vector(vector)
    except _MISSHAPEN as error:
        raise InputError(
            f"this is no vector ({type(error).__name__}: {error})", place=str(file), remedy=remedy
        ) from error
