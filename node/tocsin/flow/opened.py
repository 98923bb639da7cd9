"""Verified copies kept at hand, so that what was just verified is not verified again to be released."""

from __future__ import annotations

from collections import OrderedDict

from tocsin.flow.rows import Copy
from tocsin.flow.setting import Setting
from tocsin.wire.verify import Rejected, Verified, verify, verify_own

KEPT = 512
KEPT_BYTES = 8 * 1024 * 1024
"""Reports, and bytes of their envelopes: enough for what is between receive and release. Opened they take up to four
times as much; a report has up to 256 KiB, and its origin decides."""


class Opened:
    """A bounded memory of `Verified`, forgotten whenever trust or schemas change."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, bytes], Verified] = OrderedDict()
        self._bytes = 0
        self._under: Setting | None = None

    def keep(self, verified: Verified, setting: Setting) -> None:
        """Remember a fresh verdict; the oldest are forgotten beyond `KEPT` and `KEPT_BYTES`."""
        self._renew(setting)
        known = self._kept.get((verified.leaf, verified.chain))
        self._bytes += len(verified.framed) - (len(known.framed) if known is not None else 0)
        self._kept[verified.leaf, verified.chain] = verified
        while len(self._kept) > KEPT or self._bytes > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.framed)

    def open(self, copy: Copy, setting: Setting, now_ms: int) -> Verified | None:
        """The verified copy; None where today's trust no longer accepts it (an earlier hop's key is revoked)."""
        self._renew(setting)
        found = self._kept.get((copy.leaf, copy.chain))
        if found is not None:
            return found
        if copy.chain:
            verdict = verify(copy.framed, setting.trust, setting.schemas, now_ms, None, lambda _: True)
        else:
            verdict = verify_own(copy.framed, setting.trust, setting.schemas, now_ms)
        if isinstance(verdict, Rejected):
            return None
        self.keep(verdict, setting)
        return verdict

    def _renew(self, setting: Setting) -> None:
        if self._under is not setting:
            self._kept.clear()
            self._bytes = 0
            self._under = setting
