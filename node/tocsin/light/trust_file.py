"""The pinned trust view in its file; for light clients, read again when the file changes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tocsin.errors import TrustError
from tocsin.foreign_file import read_foreign
from tocsin.trust import load_trust, replaces
from tocsin.wire.keys import TrustView

_LOG = logging.getLogger(__name__)
_REMEDY = "A trust view is the trust.json that `tocsin init`, `tocsin lab init` and `tocsin reader init` write"


def read_trust(path: Path) -> TrustView:
    """The view of a file. `TrustError` with the file as its place where it breaks a rule or cannot be read."""
    return load_trust(read_trust_document(path))


def read_trust_document(path: Path) -> dict[str, Any]:
    """The document of a view that loads; `TrustError` as in `read_trust`."""
    document = read_foreign(path, "the trust view", remedy=_REMEDY, error=TrustError)
    try:
        load_trust(document)
    except TrustError as error:
        raise TrustError(error.thing, place=f"{path}: {error.place}", remedy=error.remedy) from error
    return dict(document)


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
        self._view = read_trust(self._path)

    def current(self) -> TrustView:
        """The view that holds; another object than before where the file changed and its version grew."""
        if self._view is None:
            raise TrustError("the trust view is not read yet", place=str(self._path))
        try:
            stamp = self._stamp()
            if stamp != self._read_at:
                self._read_at = stamp
                fresh = read_trust(self._path)
                if fresh != self._view:
                    self._view = replaces(self._view, fresh)
        except TrustError as error:
            _LOG.warning("the trust view stays as it was: %s", error)
        return self._view

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise TrustError(
                f"the trust view cannot be read ({error.strerror})", place=str(self._path), remedy=_REMEDY
            ) from error
        return found.st_mtime_ns, found.st_ino
