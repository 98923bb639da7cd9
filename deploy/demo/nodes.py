"""The node processes: `tocsin run`, one a country, each tied to this process; and what their pages say."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from deploy.demo.screen import Unmet, until

from tocsin.errors import AdapterError

_STOP_S = 15.0
# prctl(PR_SET_PDEATHSIG, SIGKILL), then become the node, unless the parent is gone already: whatever ends the
# demonstration, its nodes end with it. It is called from the main thread, which lives as long as the process.
_TIED = (
    "import ctypes,os,sys;sys.platform!='linux' or ctypes.CDLL(None).prctl(1,9);"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);os.execv(sys.argv[2],sys.argv[2:])"
)


class NodeProcess:
    """One node as a process of its own."""

    def __init__(self, country: str, config: Path, port: int) -> None:
        self.country = country
        self.config = config
        self.log = config.with_name("node.log")
        self.url = f"http://127.0.0.1:{port}"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._child is None:
            raise Unmet(f"the node of {self.country} does not run")
        return self._child.pid

    def start(self) -> None:
        """Start it; its log goes on in the same file."""
        command = [sys.executable, "-m", "tocsin.cli.main", "-c", str(self.config), "run"]
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 - our own command line
                [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demonstration, which then ends its nodes in order
            )

    async def ready(self, timeout_s: float = 60.0) -> None:
        """Until it says that it is ready; `AdapterError` with the end of its log where the process ends instead."""

        async def look() -> bool:
            if self._child is not None and self._child.poll() is not None:
                said = self.log.read_text(errors="replace")[-1500:]
                raise AdapterError(f"The node of {self.country} ended: {said}", place=str(self.log))
            return await self.page("/readyz") is not None

        await until(f"the node of {self.country} is ready", look, timeout_s)

    async def page(self, path: str) -> str | None:
        """One of its pages; None where it does not answer, or says that it is not ready."""
        with suppress(OSError, urllib.error.URLError):
            return await asyncio.to_thread(_get, self.url + path)
        return None

    async def metric(self, name: str, **labels: str) -> float:
        """A value of its metrics page; 0 where it has no such series."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        for line in (await self.page("/metrics") or "").splitlines():
            series, _, value = line.rpartition(" ")
            called, _, given = series.partition("{")
            if called == name and wanted <= set(given.rstrip("}").split(",")):
                return float(value)
        return 0.0

    def kill(self) -> None:
        """SIGKILL: it has no chance to say or save anything."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    async def stop(self) -> bool:
        """SIGTERM, and wait until it has sent what is sealed; whether it ended by itself with code 0."""
        child, self._child = self._child, None
        if child is None:
            return True
        child.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(child.wait, _STOP_S) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
        text: bytes = answer.read()
    return text.decode()
