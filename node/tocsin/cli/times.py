"""Minutes of the protocol as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from tocsin.wire.hop import NEVER

_MOST = 253_402_300_799 // 60
"""The last minute that a calendar of Python reaches."""


def minute_text(minute: int) -> str:
    """`2026-06-18 09:30`, UTC; `never` for no minute at all."""
    if minute >= NEVER:
        return "never"
    return datetime.fromtimestamp(min(minute, _MOST) * 60, UTC).strftime("%Y-%m-%d %H:%M")
