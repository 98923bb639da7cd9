"""A real folder of a node for the tests of the command line: files by `tocsin init`, a SQLite store, no broker.

What a running node does between two commands is done here by its own parts, one step at a time.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from tocsin.cli.main import app
from tocsin.config import load
from tocsin.desk import desk as open_desk
from tocsin.desk import make_signer, now_ms
from tocsin.flow import topics
from tocsin.flow.issue import Wanted
from tocsin.flow.leases import claim_source
from tocsin.flow.opened import Opened
from tocsin.flow.outbox import Remembered, new_outlet
from tocsin.flow.ports import Record
from tocsin.flow.receive import Inlet, InletKind, Receive
from tocsin.flow.release import Release
from tocsin.flow.rows import Outlet, Source
from tocsin.lab.config import load as load_lab
from tocsin.lab.submission import seal
from tocsin.packaged import published_schemas
from tocsin.report.document import from_document
from tocsin.wire.header import Stage, Tlp

ME = "gb-1"
SCHEMA = published_schemas().exact("incident/1.0")
POLICY = """
policy = "gb"
version = 1
schema = "incident/1.0"
jurisdiction = "GB"
effective_from = 2026-01-01T00:00:00Z
[audience.jp]
kind = "MEMBER"
[audience.public]
kind = "PUBLIC"
[[rule]]
id = "all-to-jp"
to = ["jp"]
disclose = ["*"]
[[rule]]
id = "hold-technical"
to = ["jp"]
withhold = ["@technical"]
hold = true
[[rule]]
id = "summary"
to = ["public"]
disclose = ["title", "severity_band"]
[[rule]]
id = "later"
to = ["public"]
disclose = ["occurred_month"]
after = "P30D"
"""
REPORT = {
    "title": "Agent deleted a production database",
    "description": "CANARY-DESCRIPTION",
    "occurred_day": "2026-06-18",
    "severity": 3,
    "severity_assessed_by": "frontier",
    "root_cause": "CANARY-ROOT-CAUSE",
    "sectors": ["K_FINANCE_INSURANCE"],
}


class Said:
    """What one command said."""

    def __init__(self, result):
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr
        self.exception = result.exception

    @property
    def lines(self):
        """The JSON lines of the standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def line(self):
        """The only JSON line."""
        [line] = self.lines
        return line

    @property
    def error(self):
        """The JSON of the standard error."""
        return json.loads(self.err)


class Folder:
    """A folder in which commands are run."""

    def __init__(self, path):
        path.mkdir(parents=True, exist_ok=True)
        self.path = path

    @property
    def config(self):
        return self.path / "tocsin.toml"

    def run(self, *words, stdin=""):
        """The command, as a person sees it."""
        here = Path.cwd()
        os.chdir(self.path)
        try:
            return Said(CliRunner().invoke(app, [str(word) for word in words], input=stdin))
        finally:
            os.chdir(here)

    def json(self, *words):
        """The command with --json; it must end with 0."""
        said = self.run("--json", *words)
        assert said.code == 0, (words, said.err, said.exception)
        return said


class Node(Folder):
    """A node's folder, and what its process would do."""

    def do(self, work):
        """Run `work(desk)` beside nothing else."""

        async def whole():
            async with open_desk(load(self.config)) as desk:
                return await work(desk)

        return asyncio.run(whole())

    def receive(self, inlet, *values):
        """Take records as the node's reading loop does."""

        async def take(desk):
            signer = make_signer(desk.config)
            await signer.open()
            source = await claim_source(desk.store, inlet.topic, ME, now_ms())
            assert isinstance(source, Source)
            parts = Receive(lambda: desk.setting, desk.store, signer, now_ms, ME, Opened())
            first = max(source.offset, 0)
            records = [Record(inlet.topic, first + i, b"", value, (), now_ms()) for i, value in enumerate(values)]
            return await parts.take(inlet, records)

        return self.do(take)

    def submit(self, lab, document=None, **changes):
        """A lab's report arrives; returns its leaf in hex."""
        framed, leaf = lab.sealed({**REPORT, **(document or {})}, **changes)
        inlet = Inlet(topics.submissions("gb", "frontier"), InletKind.SUBMISSIONS, "frontier")
        [outcome] = self.receive(inlet, framed)
        assert outcome.reason is None, outcome
        return leaf.hex()

    def issued(self, lab, **changes):
        """The leaf of a national report from one submission."""
        return self.json("issue", self.submit(lab, **changes)).line["issued"]

    def release(self):
        """Decide and seal whatever is due, for every audience of the policies."""

        async def work(desk):
            signer = make_signer(desk.config)
            await signer.open()
            async with desk.store.begin() as tx:
                for audience in desk.setting.audiences():
                    topic = topics.stream("gb", audience)
                    if not await tx.get(Outlet, [(topic,)]):
                        await tx.add([new_outlet(topic, "gb", audience, 1_700_000_000, ME, now_ms() + 60_000)])
            parts = Release(
                lambda: desk.setting, desk.store, signer, now_ms, ME, opened=Opened(), remembered=Remembered()
            )
            done = []
            while some := await parts.run():
                done += some
            return done

        return self.do(work)

    def rows(self, kind, **where):
        """Rows of the store."""

        async def find(desk):
            async with desk.store.begin() as tx:
                return await tx.find(kind, where)

        return self.do(find)

    def put(self, *rows):
        """Write rows as the node would."""

        async def put(desk):
            async with desk.store.begin() as tx:
                await tx.put(list(rows))

        self.do(put)

    def drop(self, *rows):
        """Lose rows."""

        async def drop(desk):
            async with desk.store.begin() as tx:
                await tx.drop(list(rows))

        self.do(drop)


class Lab(Folder):
    """A lab's folder."""

    def sealed(self, document, *, tlp=Tlp.CLEAR, exercise=False, stage=Stage.INITIAL, previous=None):
        """(framed, leaf) of a submission, as its client would send it; `previous` is the row that it follows."""

        async def make():
            config = load_lab(self.path / "lab.toml")
            signer = make_signer(config)
            await signer.open()
            wanted = Wanted(values=from_document(document, SCHEMA), tlp=tlp, stage=stage, exercise=exercise)
            return await seal(
                wanted,
                previous,
                lab="frontier",
                institute="gb",
                schema=SCHEMA,
                signer=signer,
                now_ms=now_ms(),
                entropy=os.urandom,
            )

        submission = asyncio.run(make())
        return submission.framed, submission.leaf


def every_command(group=None, words=()):
    """(words, command) of every command of the command line."""
    for name, one in (group or get_command(app)).commands.items():
        if hasattr(one, "commands"):
            yield from every_command(one, (*words, name))
        else:
            yield (*words, name), one


def found(base):
    """(gb, lab): gb trusts jp and has enrolled the lab frontier; all made by the commands themselves."""
    node, lab, peer = Node(base / "gb"), Lab(base / "lab"), Folder(base / "jp")
    node.json("init", "--id", "gb", "--jurisdiction", "GB")
    peer.json("init", "--id", "jp", "--jurisdiction", "JP")
    (node.path / "policies" / "incident.toml").write_text(POLICY)
    record = ["--institute", node.path / "gb.party.json", "--bootstrap", "127.0.0.1:9092"]
    lab.json("lab", "init", "--id", "frontier", "--jurisdiction", "GB", *record)
    node.json("lab", "enrol", lab.path / "frontier.party.json", "--yes")
    node.json("peer", "add", peer.path / "jp.party.json", "--bootstrap", "127.0.0.1:9192", "--yes")
    node.json("reader", "add", "jp")
    return node, lab


def copied(base, to):
    """(gb, lab) as `found` left them in `base`, in a folder of its own."""
    shutil.copytree(base, to, dirs_exist_ok=True)
    return Node(to / "gb"), Lab(to / "lab")
