"""Reading a file that holds a secret: only if nobody but its owner can."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tocsin.errors import AdapterError

_MAX = 65_536
"""Bytes: no key and no password is longer, and a device or a wrong path never fills the memory."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_private(path: Path) -> bytes:
    """The bytes of a regular file without any right for group or others; `AdapterError` with the remedy otherwise.

    Mode and content are of the same open file, so nothing can be put in its place in between.
    """
    try:
        # Without O_NONBLOCK a named pipe put in the file's place would hold the process for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        remedy = "Put the file there, readable by the node's user alone (chmod 600)"
        raise AdapterError(f"the file cannot be read ({error.strerror})", place=str(path), remedy=remedy) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise AdapterError("this is no file", place=str(path), remedy="Name the file that holds the secret")
        if found.st_mode & _OTHERS:
            raise AdapterError(
                f"others may read or write this secret (mode {stat.S_IMODE(found.st_mode):04o})",
                place=str(path),
                remedy=f"chmod 600 {path}",
            )
        raw = os.read(descriptor, _MAX + 1)
    finally:
        os.close(descriptor)
    if len(raw) > _MAX:
        raise AdapterError(f"no secret has more than {_MAX} bytes", place=str(path), remedy="Name the right file")
    return raw
