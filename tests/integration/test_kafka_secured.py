"""Who may do what on a real broker with TLS, SCRAM and access control; and what is said to who may not."""

import asyncio

import pytest

from tocsin.flow.ports import Outbound, WriteFailed
from tocsin.kafka.admin import Admin
from tocsin.kafka.connection import Connection, diagnose
from tocsin.kafka.faults import BrokerError, Cause
from tocsin.kafka.pki import DevelopmentPki
from tocsin.kafka.plan import Access, Acl, Operation, Plan, compare, want
from tocsin.kafka.read import TopicReader, read_to_end
from tocsin.kafka.write import TopicWriter

pytestmark = pytest.mark.kafka

ACCESS = Access(
    node_principal="gb",
    labs={"acme": "acme", "bolt": "bolt"},
    streams={"jp": frozenset({"jp"}), "public": frozenset({"jp", "press"})},
    operators=frozenset({"ops"}),
)
WANTED = want("gb", ACCESS, retention_days=30)


@pytest.fixture(scope="module")
def gb(operator):
    """The cluster of node gb with its topics, rights and lab users; the operator of it."""

    async def make():
        await operator.apply(compare("gb", WANTED, await operator.find(WANTED)))
        await operator.set_password("acme", "acme-secret")
        await operator.set_password("bolt", "bolt-secret")

    asyncio.run(make())
    return operator


async def write(connection, *topics):
    writer = TopicWriter(connection)
    try:
        return await writer.write([Outbound(topic, b"k", b"v", ()) for topic in topics])
    finally:
        await writer.close()


async def fault_of(work):
    async with asyncio.timeout(20):
        with pytest.raises(BrokerError) as error:
            await work
    return error.value


async def grows(operator, *acls):
    await operator.apply(Plan(grant=acls))


async def shrinks(operator, *acls):
    await operator.apply(Plan(unknown=acls), revoke=True)


async def test_what_is_wanted_is_there_after_it_was_applied_and_a_second_time_nothing_is_to_do(gb):
    found = await gb.find(WANTED)
    assert compare("gb", WANTED, found).lines() == []
    assert sorted(found.topics) == [
        "tocsin.gb.back.acme",
        "tocsin.gb.back.bolt",
        "tocsin.gb.in.acme",
        "tocsin.gb.in.bolt",
        "tocsin.gb.info",
        "tocsin.gb.out.jp",
        "tocsin.gb.out.public",
    ]
    settings = found.topics["tocsin.gb.out.jp"].settings
    assert settings["message.timestamp.type"] == "LogAppendTime"
    assert settings["max.message.bytes"] == "1048576"
    assert settings["retention.ms"] == str(30 * 86_400_000)
    assert found.topics["tocsin.gb.in.acme"].settings["compression.type"] == "uncompressed"
    assert found.topics["tocsin.gb.info"].settings["cleanup.policy"] == "compact"


async def test_the_node_itself_sees_its_rights_and_settings_and_may_change_neither(gb, as_party):
    node = Admin(as_party("gb"))
    assert compare("gb", WANTED, await node.find(WANTED)).lines() == []
    more = Acl("tocsin.gb.out.jp", "gb", Operation.READ, host="127.0.0.1")
    assert (await fault_of(node.apply(Plan(grant=(more,))))).cause is Cause.FORBIDDEN
    wider = want("gb", Access(node_principal="gb", streams={"ke": frozenset({"ke"})}))
    plan = compare("gb", wider, await gb.find(wider))
    assert [topic.name for topic in plan.create] == ["tocsin.gb.out.ke"]
    assert (await fault_of(node.apply(Plan(create=plan.create)))).cause is Cause.FORBIDDEN


async def test_a_setting_that_was_changed_behind_the_nodes_back_is_seen_and_set_back(gb):
    other = want("gb", ACCESS, retention_days=60)
    plan = compare("gb", other, await gb.find(other))
    assert {change.setting for change in plan.change} == {"retention.ms"}
    await gb.apply(plan)
    back = compare("gb", WANTED, await gb.find(WANTED))
    assert f"set retention.ms of tocsin.gb.out.jp: {60 * 86_400_000} -> {30 * 86_400_000}" in back.lines()
    await gb.apply(back)
    assert compare("gb", WANTED, await gb.find(WANTED)).lines() == []


async def test_a_reader_that_the_node_does_not_know_is_listed_and_taken_out_on_request(gb):
    strangers = (
        Acl("tocsin.gb.out.jp", "mallory", Operation.READ),
        Acl("tocsin.gb.", "prefix", Operation.READ, pattern="PREFIXED"),
        Acl("*", "anyone", Operation.READ),
    )
    unconcerned = (Acl("tocsin.gb.out.jp", "ops", Operation.READ), Acl("elsewhere", "mallory", Operation.READ))
    await grows(gb, *strangers, *unconcerned)
    plan = compare("gb", WANTED, await gb.find(WANTED))
    assert set(plan.unknown) == set(strangers)
    await gb.apply(plan)
    assert set(compare("gb", WANTED, await gb.find(WANTED)).unknown) == set(strangers), "not without being asked"
    await gb.apply(plan, revoke=True)
    found = await gb.find(WANTED)
    assert compare("gb", WANTED, found).unknown == ()
    assert set(unconcerned) <= found.acls
    await shrinks(gb, *unconcerned)


async def test_a_named_reader_reads_its_stream_and_nobody_elses(gb, as_party):
    await write(as_party("gb"), "tocsin.gb.out.jp", "tocsin.gb.out.public", "tocsin.gb.info")
    for topic in ("tocsin.gb.out.jp", "tocsin.gb.out.public", "tocsin.gb.info"):
        assert [record.value for record in await _read_all(as_party("jp"), topic)] == [b"v"]
    for name, topic in (("press", "tocsin.gb.out.jp"), ("jp", "tocsin.gb.in.acme"), ("ke", "tocsin.gb.info")):
        fault = await fault_of(TopicReader(as_party(name), topic).open(None))
        assert (fault.cause, fault.place) == (Cause.FORBIDDEN, topic)


async def test_a_lab_writes_with_the_right_to_its_own_topic_alone_and_to_no_other(gb, as_lab, as_party):
    acme = as_lab("acme", "acme-secret")
    assert [ack.offset for ack in (await write(acme, "tocsin.gb.in.acme"))["tocsin.gb.in.acme"]] == [0]
    with pytest.raises(WriteFailed, match="TopicAuthorizationFailed") as failure:
        await write(acme, "tocsin.gb.in.bolt", "tocsin.gb.in.acme")
    assert failure.value.failed == {"tocsin.gb.in.bolt"}
    assert len(failure.value.acked["tocsin.gb.in.acme"]) == 1
    assert (await fault_of(_read_all(acme, "tocsin.gb.in.acme"))).cause is Cause.FORBIDDEN
    await write(as_party("gb"), "tocsin.gb.back.acme")
    assert len(await _read_all(acme, "tocsin.gb.back.acme")) == 1
    assert len(await _read_all(as_party("gb"), "tocsin.gb.in.acme")) == 2


async def test_a_right_that_is_taken_away_is_told_to_the_reader_and_to_the_writer(gb, as_party):
    """And a record refused for it, among pipelined ones, is not lost: it is sent when the right is back."""
    topic = "tocsin.gb.out.public"
    rights = (Acl(topic, "gb", Operation.WRITE), Acl(topic, "press", Operation.READ))
    writer, reader = TopicWriter(as_party("gb")), TopicReader(as_party("press"), topic)
    [before] = (await writer.write([Outbound(topic, b"k", b"before", ())]))[topic]
    await reader.open(before.offset)
    assert [r.value for r in await reader.fetch(1, 5)] == [b"before"]
    await shrinks(gb, *rights)
    assert (await fault_of(_until_fault(reader))).cause is Cause.FORBIDDEN
    given = [Outbound(topic, b"k", b"%d" % n, ()) for n in range(10)]
    with pytest.raises(WriteFailed, match="TopicAuthorizationFailed") as failure:
        await _until_failure(writer, given)
    await grows(gb, *rights)
    again = TopicWriter(as_party("gb"))
    await again.write(given[len(failure.value.acked.get(topic, [])) :])
    await again.close()
    await reader.open(before.offset + 1)
    assert [r.value for r in await _read(reader, 10)][-10:] == [b"%d" % n for n in range(10)]
    await reader.close()


async def _read_all(connection, topic):
    return [record async for batch in read_to_end(TopicReader(connection, topic), None) for record in batch]


async def _until_fault(reader):
    while True:
        await reader.fetch(10, 0.5)


async def _until_failure(writer, given):
    """The broker's authorizer learns of a change a moment after the answer; until then it takes what it refuses next."""
    while True:
        await writer.write(given)


async def _read(reader, count):
    found = []
    end = await reader.end()
    while await reader.position() < end:
        found += await reader.fetch(1000, 2)
    assert len(found) >= count
    return found


async def test_who_may_only_describe_is_told_at_the_first_fetch(gb, as_party):
    right = Acl("tocsin.gb.out.jp", "auditor", Operation.DESCRIBE)
    await grows(gb, right)
    reader = TopicReader(as_party("auditor"), "tocsin.gb.out.jp")
    await reader.open(None)
    assert (await fault_of(_until_fault(reader))).cause is Cause.FORBIDDEN
    await shrinks(gb, right)


async def test_every_way_not_to_get_in_is_told_apart(gb, secured_kafka, kafka, as_party, as_lab, tmp_path):
    foreign = DevelopmentPki(tmp_path)
    labs = secured_kafka.labs_bootstrap
    plain_text = Connection(bootstrap=secured_kafka.bootstrap)
    ways = {
        "refuses the client certificate": (Cause.TLS, as_party("jp", pki=foreign)),
        "has none": (Cause.TLS, as_party("jp", certificate=None, key=None)),
        "is not trusted by": (Cause.TLS, as_party("jp", ca=foreign.ca)),
        "the name or the password of 'acme' is refused": (Cause.AUTHENTICATION, as_lab("acme", "wrong")),
        "the name or the password of 'nobody' is refused": (Cause.AUTHENTICATION, as_lab("nobody", "wrong")),
        "another proof": (Cause.AUTHENTICATION, as_party("jp", bootstrap=labs)),
        "no connection": (Cause.UNREACHABLE, Connection(bootstrap="127.0.0.1:1")),
        "wants tls": (Cause.TLS, plain_text),
        "does not speak tls": (Cause.TLS, Connection(bootstrap=kafka.bootstrap, tls=True, ca=secured_kafka.pki.ca)),
    }
    for words, (cause, connection) in ways.items():
        fault = await fault_of(TopicReader(connection, "tocsin.gb.info").open(None))
        assert (fault.cause, words in fault.thing.lower()) == (cause, True), fault.thing
        assert fault.place == connection.bootstrap
        with pytest.raises(WriteFailed) as failure:
            await write(connection, "tocsin.gb.info")
        assert words in failure.value.thing.lower()
    assert await diagnose(as_party("jp")) is None
    assert (await fault_of(Admin(as_lab("acme", "wrong"), call_s=3).users())).cause is Cause.AUTHENTICATION


async def test_a_key_file_that_cannot_be_read_is_told_with_its_name(as_party, tmp_path):
    connection = as_party("jp", key=tmp_path / "gone.key")
    fault = await fault_of(TopicReader(connection, "tocsin.gb.info").open(None))
    assert fault.cause is Cause.TLS
    assert "gone.key" in fault.place


async def test_users_are_made_changed_and_removed(gb, as_lab):
    await gb.set_password("temp", "one")
    assert "temp" in await gb.users()
    assert await diagnose(as_lab("temp", "one")) is None
    await gb.set_password("temp", "two")
    async with asyncio.timeout(10):
        # The broker's listeners learn of it a moment after the answer.
        while await diagnose(as_lab("temp", "two")) is not None:
            pass
    await gb.remove_user("temp")
    assert "temp" not in await gb.users()
    assert (await fault_of(gb.remove_user("temp"))).cause is Cause.REFUSED


async def test_a_quota_is_set_for_one_lab_and_removed(gb):
    await gb.set_quota("bolt", {"producer_byte_rate": 100_000.0, "request_percentage": 25.0})
    assert await gb.quotas("bolt") == {"producer_byte_rate": 100_000.0, "request_percentage": 25.0}
    assert await gb.quotas("acme") == {}
    await gb.set_quota("bolt", {"producer_byte_rate": None, "request_percentage": None})
    assert await gb.quotas("bolt") == {}
    assert (await fault_of(gb.set_quota("bolt", {"speed": 1.0}))).cause is Cause.REFUSED
