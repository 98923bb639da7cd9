"""A node before and after its start, held against what its cluster says of its topics."""

import asyncio
import io

import pytest
from tests.unit.cli_desk import POLICY, Node

from tocsin import app
from tocsin.config import load
from tocsin.desk import desk, make_signer
from tocsin.errors import ConfigError
from tocsin.kafka.plan import Found, FoundTopic
from tocsin.logs import Log


class Cluster:
    """A broker's administration: the wanted topics are there, with these settings besides; nothing may be changed."""

    def __init__(self):
        self.settings = {}
        self.looks = 0

    def __call__(self, connection):
        return self

    async def find(self, wanted):
        self.looks += 1
        topics = {t.name: FoundTopic(1, {**t.settings, **self.settings.get(t.name, {})}) for t in wanted.topics}
        return Found(topics=topics, acls=wanted.acls)


@pytest.fixture
def cluster(monkeypatch):
    made = Cluster()
    monkeypatch.setattr(app, "Admin", made)
    return made


@pytest.fixture
def folder(tmp_path):
    gb = Node(tmp_path / "gb")
    gb.json("init", "--id", "gb", "--jurisdiction", "GB")
    (gb.path / "policies" / "incident.toml").write_text(POLICY)
    return gb


@pytest.fixture
async def gb(folder, cluster):
    async with desk(load(folder.config)) as opened:
        yield app.App(opened, make_signer(opened.config), Log(io.StringIO(), strict=True))


async def drift(node):
    return "tocsin_topic_drift 1.0" in (await node.metrics.page()).decode()


async def test_a_node_does_not_start_on_a_topic_that_takes_no_whole_report(gb, cluster):
    cluster.settings = {"tocsin.gb.out.jp": {"max.message.bytes": "100000"}}
    with pytest.raises(ConfigError, match="100000"):
        await gb._prepare_topics()


async def test_a_node_starts_on_a_topic_of_other_settings_and_shows_it(gb, cluster):
    cluster.settings = {"tocsin.gb.out.jp": {"compression.type": "gzip"}}
    await gb._prepare_topics()
    assert await drift(gb)


async def test_a_limit_that_is_lowered_under_a_running_node_is_shown_and_ends_nothing(gb, cluster, monkeypatch):
    monkeypatch.setattr(app, "RIGHTS_S", 0)
    await gb._prepare_topics()
    assert not await drift(gb)
    watching = asyncio.create_task(gb._watching_rights())
    cluster.settings = {"tocsin.gb.out.jp": {"max.message.bytes": "100000"}}
    looks = cluster.looks
    async with asyncio.timeout(10):
        while cluster.looks < looks + 3:  # noqa: ASYNC110 - the cluster tells nobody that it was looked at
            await asyncio.sleep(0)
    assert not watching.done()
    assert await drift(gb)
    watching.cancel()
