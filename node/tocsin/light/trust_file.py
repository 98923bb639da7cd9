"""The pinned trust view in its file, read again when the file changes."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from tocsin.errors import TrustError
from tocsin.trust import load_trust, replaces
from tocsin.wire.keys import TrustView

_LOG = logging.getLogger(__name__)


class TrustFile:
    """`current` is what holds now. A file that is bad, or older than what holds, changes nothing, and that is logged."""

    def __init__(self, path: Path) -> None:
        """No I/O."""
        self._path = path
        self._read_at = (0, 0)
        self._view: TrustView | None = None

    def open(self) -> None:
        """Read the file. `TrustError` with the file as its place where it breaks a rule or cannot be read."""
        self._read_at = self._stamp()
        self._view = self._read()

    def current(self) -> TrustView:
        """The view that holds; another object than before where the file changed and its version grew."""
        if self._view is None:
            raise TrustError("the trust view is not read yet", place=str(self._path))
        try:
            stamp = self._stamp()
            if stamp != self._read_at:
                self._read_at = stamp
                fresh = self._read()
                if fresh != self._view:
                    self._view = replaces(self._view, fresh)
        except TrustError as error:
            _LOG.warning("the trust view stays as it was: %s", error)
        return self._view

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise TrustError(f"the file cannot be read ({error.strerror})", place=str(self._path)) from error
        return found.st_mtime_ns, found.st_ino

    def _read(self) -> TrustView:
        try:
            return load_trust(json.loads(self._path.read_bytes()))
        except (OSError, ValueError) as error:
            raise TrustError(f"the file cannot be read ({error})", place=str(self._path)) from error
        except TrustError as error:
            raise TrustError(error.thing, place=f"{self._path}: {error.place}", remedy=error.remedy) from error
