"""An institute's receipts: what it must not deny later."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tocsin.wire.keys import TrustView
from tocsin.wire.reasons import Reason, Rejected
from tocsin.wire.statement import Receipt, verify_statement

_NOT_COMPUTED = bytes(32)


@dataclass(frozen=True, slots=True)
class SignedReceipt(Receipt):
    """A verified receipt; `framed` are the signed bytes, which prove it to anybody."""

    framed: bytes


def judge_receipt(framed: bytes, trust: TrustView, now_ms: int, institute: str, lab: str) -> SignedReceipt | Reason:
    """The receipt, or why these bytes are none of this institute for this lab; total: no bytes raise."""
    verdict = verify_statement(framed, trust, now_ms, None)
    if isinstance(verdict, Rejected):
        return verdict.reason
    body = verdict.body
    if not isinstance(body, Receipt) or (body.node, body.lab) != (institute, lab):
        return Reason.STATEMENT_PLACE
    return SignedReceipt(**{field.name: getattr(body, field.name) for field in fields(Receipt)}, framed=verdict.framed)


def answers(receipt: SignedReceipt, leaf: bytes) -> bool:
    """Whether it can be about the report of that leaf; where the institute rejects it may not know the leaf."""
    return receipt.leaf == leaf or (receipt.decision == "REJECTED" and receipt.leaf == _NOT_COMPUTED)
