"""Nodes as processes: files of configuration, trust, keys and policy in one folder each, `tocsin run`, SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.crash.world import PARTIES, ROUTES, policy_of, seeded, trust_document

from tocsin.wire.keys import KeyUse


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def write_key(path: Path, seed: bytes) -> None:
    """A private key file as `tocsin init` writes it, from a fixed seed."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: PLC0415

    key = Ed25519PrivateKey.from_private_bytes(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)


class NodeProcess:
    """One node: its folder, and the process that runs it."""

    def __init__(self, folder: Path, node: str, brokers: dict[str, str], *, extra: str = "") -> None:
        """`brokers` is node → bootstrap; all are plain, on the loopback address."""
        self.id = node
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for use in (KeyUse.EVENT, KeyUse.RELAY):
            write_key(folder / "keys" / f"{use.value}.pem", seeded(f"{node}/{use}"))
        (folder / "trust.json").write_text(json.dumps(trust_document()))
        (folder / "policy.toml").write_text(policy_of(node))
        peers = [peer for peer in PARTIES if peer in brokers and peer != node and node in ROUTES[peer]]
        labs = ["frontier"] if node == "gb" else []
        text = f"""
[node]
id = "{node}"
jurisdiction = "{PARTIES[node][1]}"
[keys]
event = "keys/event.pem"
[kafka]
bootstrap = "{brokers[node]}"
[http]
listen = "127.0.0.1:{self.port}"
[limits]
records_per_second = 100000
bytes_per_second = 1000000000
[[policy]]
file = "policy.toml"
"""
        text += "".join(f'[[peer]]\nid = "{peer}"\nbootstrap = "{brokers[peer]}"\n' for peer in peers)
        text += "".join(f'[[lab]]\nid = "{lab}"\n' for lab in labs)
        text += "".join(f'[[reader]]\nid = "{audience}"\n' for audience in ROUTES[node])
        (folder / "tocsin.toml").write_text(text + extra)

    def start(self) -> None:
        """Run the node; its log goes to node.log."""
        log = (self.folder / "node.log").open("ab")
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tocsin.cli.main", "-c", str(self.folder / "tocsin.toml"), "run"],
            stdout=log,
            stderr=log,
            env=environment,
        )
        log.close()

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait for the drain."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def command(self, *words: str) -> list[Any]:
        """The rows that `tocsin --json WORDS` shows this node's officer."""
        whole = [sys.executable, "-m", "tocsin.cli.main", "-c", str(self.folder / "tocsin.toml"), "--json", *words]
        shown = subprocess.run(whole, stdout=subprocess.PIPE, check=True).stdout
        return [json.loads(line) for line in shown.splitlines()]

    def ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def metrics(self) -> dict[str, float]:
        """The series of /metrics by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def log(self) -> str:
        """What the node logged."""
        return (self.folder / "node.log").read_text()


def wait_until(condition, what: str, seconds: float = 90.0):
    """Wait for a condition, and fail by name after a time that only a fault reaches; returns what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"never came: {what}")
        time.sleep(0.05)
    return found
