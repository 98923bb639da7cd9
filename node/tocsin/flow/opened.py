"""Verified copies kept at hand, so that what was just verified is not verified again to be released."""

from __future__ import annotations

from collections import OrderedDict

from tocsin.flow.rows import Copy
from tocsin.flow.setting import Setting
from tocsin.wire.verify import Rejected, Verified, verify, verify_own

KEPT = 512
"""About 512 × 8 kB: enough for what is between receive and release, small beside the rest of the process."""


class Opened:
    """A bounded memory of `Verified`, forgotten whenever trust or schemas change."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, bytes], Verified] = OrderedDict()
        self._under: Setting | None = None

    def keep(self, verified: Verified, setting: Setting) -> None:
        """Remember a fresh verdict; the oldest is forgotten beyond `KEPT`."""
        self._renew(setting)
        self._kept[verified.leaf, verified.chain] = verified
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

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
            self._under = setting
