"""What a node wants of its cluster, and the way there from what is there."""

import dataclasses

import pytest

from tocsin.errors import ConfigError
from tocsin.kafka.plan import (
    CLUSTER_NAME,
    Access,
    Acl,
    Found,
    FoundTopic,
    Operation,
    Plan,
    Resource,
    compare,
    require_room,
    want,
)

ACCESS = Access(
    node_principal="gb-node",
    labs={"acme": "acme-user"},
    streams={"jp": frozenset({"jp-node"}), "public": frozenset({"press", "jp-node"})},
)
WANTED = want("gb", ACCESS)


def rights(principal):
    return {(acl.name, acl.operation) for acl in WANTED.acls if acl.principal == principal}


def all_there(wanted=WANTED):
    return Found(topics={t.name: FoundTopic(1, t.settings) for t in wanted.topics}, acls=wanted.acls)


def test_a_lab_writes_its_submissions_and_reads_its_receipts_and_info_alone():
    assert rights("acme-user") == {
        ("tocsin.gb.in.acme", "WRITE"),
        ("tocsin.gb.back.acme", "READ"),
        ("tocsin.gb.info", "READ"),
    }


def test_a_reader_reads_its_streams_and_info_alone():
    assert rights("press") == {("tocsin.gb.out.public", "READ"), ("tocsin.gb.info", "READ")}
    assert rights("jp-node") == rights("press") | {("tocsin.gb.out.jp", "READ")}


def test_the_node_writes_everything_but_submissions_and_reads_everything():
    topics = {topic.name for topic in WANTED.topics}
    assert {name for name, operation in rights("gb-node") if operation == "READ"} == topics
    writes = {name for name, operation in rights("gb-node") if operation == "WRITE"}
    assert writes == topics - {"tocsin.gb.in.acme"}
    assert (CLUSTER_NAME, "DESCRIBE") in rights("gb-node")


def test_every_right_is_literal_for_every_host_and_allows():
    assert {(acl.pattern, acl.host, acl.permission) for acl in WANTED.acls} == {("LITERAL", "*", "ALLOW")}


def test_where_all_is_there_nothing_is_to_do():
    assert compare("gb", WANTED, all_there()) == Plan()


def test_from_nothing_everything_is_made():
    plan = compare("gb", WANTED, Found(topics={}, acls=frozenset()))
    assert plan.create == WANTED.topics
    assert set(plan.grant) == WANTED.acls
    assert "create topic tocsin.gb.in.acme" in plan.lines()
    assert "grant: allow press READ on topic tocsin.gb.out.public" in plan.lines()


def test_a_topic_that_differs_is_changed_and_one_of_two_partitions_is_a_problem():
    found = all_there()
    settings = {**found.topics["tocsin.gb.info"].settings, "cleanup.policy": "delete", "other": "kept"}
    topics = {**found.topics, "tocsin.gb.info": FoundTopic(2, settings)}
    plan = compare("gb", WANTED, dataclasses.replace(found, topics=topics))
    assert plan.lines() == [
        "set cleanup.policy of tocsin.gb.info: delete -> compact",
        "problem: tocsin.gb.info has 2 partitions; it must have one",
    ]


@pytest.mark.parametrize(
    ("acl", "alarm"),
    [
        (Acl("tocsin.gb.out.jp", "mallory", Operation.READ), True),
        (Acl("tocsin.gb.out.old", "jp-node", Operation.READ), True),
        (Acl("tocsin.gb.out.public", "press", Operation.WRITE), True),
        (Acl("tocsin.", "mallory", "ALL", pattern="PREFIXED"), True),
        (Acl("tocsin.gb.out.", "mallory", "READ", pattern="PREFIXED"), True),
        (Acl("*", "mallory", "READ"), True),
        (Acl("tocsin.jp.out.gb", "mallory", "READ"), False),
        (Acl("tocsin.gbr.", "mallory", "READ", pattern="PREFIXED"), False),
        (Acl("tocsin.gb.out.jp", "ops", "READ"), False),
        (Acl(CLUSTER_NAME, "mallory", "DESCRIBE", Resource.CLUSTER), False),
    ],
)
def test_a_right_that_nobody_configured_is_an_alarm_if_it_reaches_a_topic_of_the_node(acl, alarm):
    wanted = dataclasses.replace(WANTED, operators=WANTED.operators | {"ops"})
    found = all_there()
    plan = compare("gb", wanted, dataclasses.replace(found, acls=found.acls | {acl}))
    assert plan.unknown == ((acl,) if alarm else ())


def test_a_broker_without_authorizer_is_a_problem_and_grants_nothing():
    plan = compare("gb", WANTED, dataclasses.replace(all_there(), acls=None))
    assert plan.grant == ()
    assert any("no authorizer" in line for line in plan.lines())


def test_topics_too_small_for_a_report_are_refused():
    want("gb", ACCESS, max_bytes=300_000)
    with pytest.raises(ConfigError, match="299999"):
        want("gb", ACCESS, max_bytes=299_999)


@pytest.mark.parametrize(("setting", "taken"), [("300000", True), ("299999", False), ("", True)])
def test_a_topic_that_is_there_and_too_small_for_a_report_is_refused_by_name(setting, taken):
    """A broker that does not say what its limit is has refused nothing."""
    found = all_there()
    settings = {**found.topics["tocsin.gb.out.jp"].settings, "max.message.bytes": setting}
    topics = {**found.topics, "tocsin.gb.out.jp": FoundTopic(1, settings)}
    plan = compare("gb", WANTED, dataclasses.replace(found, topics=topics))
    assert [change.setting for change in plan.change] == ["max.message.bytes"]
    if taken:
        require_room(plan)
    else:
        with pytest.raises(ConfigError, match="299999") as error:
            require_room(plan)
        assert error.value.place == "tocsin.gb.out.jp"
        assert "tocsin topics apply" in error.value.remedy
