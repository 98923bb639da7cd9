"""Runs the pages as a task of the node's own loop: signals, logs and the loop stay the node's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import uvicorn
from starlette.types import ASGIApp

from tocsin.errors import AdapterError

STOP_S = 3
"""Seconds that running requests have to end."""
_LARGEST_HEAD = 16_384
"""Bytes of a request's line and headers."""
_BACKLOG = 128


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The node's signals are the node's."""
        yield


class HttpServer:
    """One listening address. Construct, `start`, `stop`."""

    def __init__(self, application: ASGIApp, host: str, port: int) -> None:
        """No I/O. Port 0 is any free one; `port` says which, once it is started."""
        self._host = host
        self.port = port
        config = uvicorn.Config(
            application,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=STOP_S,
            h11_max_incomplete_event_size=_LARGEST_HEAD,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen and serve; `AdapterError` where the address cannot be had."""
        listening = self._bound()
        self.port = listening.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name="http")

    async def stop(self) -> None:
        """End running requests, then let go of the address; never longer than some seconds."""
        task, self._task = self._task, None
        if task is None:
            return
        self._server.should_exit = True
        await asyncio.wait([task], timeout=STOP_S + 2)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])

    def _bound(self) -> socket.socket:
        # Here and not by uvicorn, which ends the whole process where an address is taken.
        family = socket.AF_INET6 if _is_v6(self._host) else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self._host, self.port))
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            raise AdapterError(
                f"the address cannot be listened on ({error.strerror or error})",
                place=f"http.listen {self._host}:{self.port}",
                remedy="Choose another in the configuration, or end what uses it (another node?)",
            ) from error
        listening.setblocking(False)
        return listening


def _is_v6(host: str) -> bool:
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False
