"""Metrics: every outcome is counted once, under labels that nobody outside can make grow."""

import asyncio
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tocsin.errors import AdapterError
from tocsin.flow.decide import Decision, decide
from tocsin.flow.loops import State, Watch
from tocsin.flow.outbox import StoreBehind
from tocsin.flow.outcome import Outcome, What
from tocsin.flow.receive import Inlet, InletKind
from tocsin.flow.recover import Recovered
from tocsin.flow.release import Done
from tocsin.flow.send import Sent
from tocsin.flow.vector import _policy, _question, _schemas
from tocsin.kafka.faults import BrokerError, Cause
from tocsin.kafka.plan import Acl, Change, Operation, Plan
from tocsin.metrics import Metrics, Snapshot, SourceGauges
from tocsin.wire.keys import KeyUse
from tocsin.wire.reasons import Note, Reason

WHATS = ("disclosed", "coarsened", "withheld", "embargoed")


class Page:
    def __init__(self, metrics):
        self.metrics = metrics

    async def read(self):
        self.text = (await self.metrics.page()).decode()
        families = list(text_string_to_metric_families(self.text))
        self.families = {family.name: family for family in families}
        assert len(self.families) == len(families)
        return self

    def value(self, name, **labels):
        found = [s.value for f in self.families.values() for s in f.samples if s.name == name and s.labels == labels]
        assert len(found) == 1, (name, labels)
        return found[0]


@pytest.fixture
def now():
    return [1_000_000]


@pytest.fixture
def metrics(now):
    return Metrics(
        clock=lambda: now[0], sources={"jp": 30, "lab-a": 7}, audiences=["jp", "public"], version="1.2.3"
    )  # fmt: skip


async def read(metrics):
    return await Page(metrics).read()


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (What.ACCEPTED, "tocsin_reports_accepted_total"),
        (What.MERGED, "tocsin_reports_merged_total"),
        (What.DUPLICATE, "tocsin_reports_duplicate_total"),
        (What.STATEMENT, "tocsin_statements_taken_total"),
    ],
)
async def test_an_outcome_is_counted_once_under_its_source(metrics, what, name):
    watch: Watch = metrics
    watch.outcome(Outcome(what, "jp", "t", 1, size=1_500))
    page = await read(metrics)
    assert page.value(name, source="jp") == 1
    assert page.value(name, source="lab-a") == 0
    assert page.value("tocsin_records_received_total", source="jp") == 1
    assert page.value("tocsin_received_bytes_total", source="jp") == 1_500


async def test_every_reason_is_there_from_the_start_and_counts_alone(metrics):
    metrics.outcome(Outcome(What.REJECTED, "jp", "t", 1, reason=Reason.HOP_PREV))
    page = await read(metrics)
    for reason in Reason:
        expected = 1 if reason is Reason.HOP_PREV else 0
        assert page.value("tocsin_records_rejected_total", source="jp", reason=reason.value) == expected


async def test_notes_and_forks_are_counted_besides_the_outcome(metrics):
    metrics.outcome(Outcome(What.STATEMENT, "jp", "t", 1, notes=(Note.EPOCH, Note.GAP)))
    metrics.outcome(Outcome(What.STATEMENT, "jp", "t", 2, notes=(Note.FORK,)))
    page = await read(metrics)
    assert [page.value("tocsin_notes_total", source="jp", note=n) for n in ("EPOCH", "GAP", "FORK", "HEALED")] == [
        1, 1, 1, 0,
    ]  # fmt: skip
    assert page.value("tocsin_forks_total", source="jp") == 1


async def test_what_nobody_configured_is_other_and_adds_no_series(metrics):
    before = (await read(metrics)).text.count("\n")
    for i in range(500):
        metrics.outcome(Outcome(What.REJECTED, f"stranger-{i}", "t", i, reason=Reason.SIZE))
        metrics.outcome(Outcome(What.ACCEPTED, f"stranger-{i}", "t", i, notes=(Note.GAP,)))
        metrics.done(Done(f"audience-{i}", b"", "NEW", 0, (), f"why-{i}"))
        metrics.fault(f"task-{i}", AdapterError("x"), 1.0)
    page = await read(metrics)
    assert page.text.count("\n") == before
    assert page.value("tocsin_records_received_total", source="other") == 1000
    assert page.value("tocsin_decisions_nothing_total", audience="other", why="other") == 500
    assert page.value("tocsin_faults_total", cause="other") == 500
    assert "stranger" not in page.text


async def test_a_decision_that_sends_nothing_says_why(metrics):
    metrics.done(Done("jp", b"", "NEW", 0, (), "POLICY"))
    metrics.done(Done("jp", b"", "NEW", 0, (), "SAID"))
    page = await read(metrics)
    assert page.value("tocsin_decisions_nothing_total", audience="jp", why="POLICY") == 1
    assert page.value("tocsin_decisions_nothing_total", audience="jp", why="SAID") == 1
    assert page.value("tocsin_decisions_released_total", audience="jp") == 0


async def test_faults_are_counted_by_their_cause(metrics):
    metrics.fault("t", BrokerError(Cause.TLS, "x"), 1.0)
    metrics.fault("t", StoreBehind("x"), 1.0)
    metrics.sent(Sent({"a": 3, "b": 4}, {"c": "refused"}, skew_ms=1500))
    page = await read(metrics)
    assert [page.value("tocsin_faults_total", cause=c) for c in ("TLS", "STORE_BEHIND", "WRITE", "STALLED")] == [
        1, 1, 1, 0,
    ]  # fmt: skip
    assert page.value("tocsin_outbox_acked_total") == 7
    assert page.value("tocsin_clock_skew_seconds") == 1.5


async def test_exactly_one_state_is_one(metrics):
    for state in State:
        metrics.state(state)
        page = await read(metrics)
        assert {s.value: page.value("tocsin_node_state", state=s.value) for s in State} == {
            s.value: float(s is state) for s in State
        }


async def test_gauges_show_the_last_snapshot_and_when_it_was_taken(metrics, now):
    metrics.set_gauges(
        Snapshot(
            outbox_rows=3,
            outbox_oldest_s=4.5,
            sources=[
                ("jp", SourceGauges(head_age_s=61.0, open_ranges=1, quarantine_rows=2, unkept_age_s=9.0)),
                ("lab-a", SourceGauges(quarantine_rows=5)),
                ("gone-1", SourceGauges(quarantine_rows=6)),
                ("gone-2", SourceGauges(quarantine_rows=7)),
            ],
            holds_open=8,
            holds_overdue=1,
            submissions_waiting=2,
            key_not_after_ms={KeyUse.RELAY: 5_000},
            unknown_audiences=3,
            unserved_schemas=1,
        )
    )
    metrics.lag(Inlet("t", InletKind.STREAM, "jp"), 12)
    metrics.lag(Inlet("i", InletKind.INFO, "jp"), 0)
    metrics.recovered("jp", Recovered.LOST)
    page = await read(metrics)
    assert page.value("tocsin_outbox_rows") == 3
    assert page.value("tocsin_outbox_oldest_seconds") == 4.5
    assert page.value("tocsin_source_head_age_seconds", source="jp") == 61
    assert page.value("tocsin_open_ranges", source="jp") == 1
    assert page.value("tocsin_quarantine_rows", source="other") == 13
    assert page.value("tocsin_quarantine_unkept_oldest_seconds", source="jp") == 9
    assert page.value("tocsin_source_lag_records", source="jp") == 12
    assert page.value("tocsin_key_not_after_timestamp_seconds", use="relay") == 5
    assert (page.value("tocsin_holds_open"), page.value("tocsin_holds_overdue")) == (8, 1)
    assert page.value("tocsin_submissions_waiting") == 2
    assert page.value("tocsin_unknown_audiences") == 3
    assert page.value("tocsin_unserved_schemas") == 1
    assert page.value("tocsin_source_retention_seconds", source="jp") == 30 * 86_400
    assert page.value("tocsin_source_retention_seconds", source="other") == 7 * 86_400
    assert page.value("tocsin_streams_recovered_total", found="LOST") == 1
    assert page.value("tocsin_gauges_updated_timestamp_seconds") == 1000
    assert page.value("tocsin_build_info", version="1.2.3", protocol="1") == 1
    heads = [s.labels["source"] for s in page.families["tocsin_source_head_age_seconds"].samples]
    assert heads == ["jp"]  # a lab shows no heads, so that nobody waits for them
    metrics.set_gauges(Snapshot())
    assert (await read(metrics)).value("tocsin_quarantine_rows", source="other") == 0


async def test_what_a_comparison_with_the_cluster_found_is_shown_until_the_next_one(metrics):
    stranger = Acl("tocsin.gb.out.jp", "mallory", Operation.READ)
    drift = (Change("t", "compression.type", "gzip", "uncompressed"), Change("t", "retention.ms", "1", "2"))
    found = Plan(unknown=(stranger,), change=drift, problems=("t has 2 partitions", "u has 3", "no authorizer"))
    names = [f"tocsin_{name}" for name in ("unknown_acl_readers", "topic_drift", "topic_problems")]
    for plan, expected in ((found, [1, 2, 3]), (Plan(), [0, 0, 0])):
        metrics.compared(plan)
        page = await read(metrics)
        assert [page.value(name) for name in names] == expected


async def test_every_family_has_a_help_text_a_prefix_and_a_unit_or_total_where_it_has_one(metrics):
    page = await read(metrics)
    for family in page.families.values():
        assert family.documentation.endswith((".", ")")), family.name
        assert family.name.startswith(("tocsin_", "process_")), family.name
        if family.type == "counter":
            assert all(s.name.endswith("_total") for s in family.samples)
        else:
            assert not any(s.name.endswith("_total") for s in family.samples)
        assert family.type != "unknown"


async def test_two_nodes_in_one_process_do_not_share_a_count(now):
    one, two = (Metrics(clock=lambda: now[0], sources={"jp": 30}, audiences=[], version="1") for _ in range(2))
    one.outcome(Outcome(What.ACCEPTED, "jp", "t", 1))
    assert (await read(two)).value("tocsin_reports_accepted_total", source="jp") == 0


async def test_drawing_a_large_page_lets_other_tasks_run_and_says_each_family_once(now):
    metrics = Metrics(
        clock=lambda: now[0],
        sources=dict.fromkeys((f"s{i}" for i in range(40)), 30),
        audiences=[f"a{i}" for i in range(20)],
        version="1",
    )
    turns, done = 0, False

    async def other():
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    page = await read(metrics)
    done = True
    await task
    heads = re.findall(r"^# TYPE (\S+)", page.text, re.MULTILINE)
    assert len(heads) == len(set(heads))
    # 41 × 40 reasons alone are 25 slices: the other task had its turn between any two of them.
    assert turns > 25


SCHEMA = """{"type": "record", "name": "Test", "fields": [
  {"name": "a", "type": ["null", "string"], "default": null},
  {"name": "b", "type": ["null", "string"], "default": null},
  {"name": "c", "type": ["null", "string"], "default": null},
  {"name": "occurred_date", "type": ["null", {"type": "int", "logicalType": "date"}], "default": null},
  {"name": "occurred_month", "type": ["null", {"type": "int", "logicalType": "date"}], "default": null,
   "rung": {"of": "occurred_date", "by": "month/1"}}
]}"""
POLICY = """
policy = "gb"
version = 1
schema = "test/1.0"
jurisdiction = "GB"
effective_from = 1970-01-01T00:00:00Z
[audience.jp]
kind = "MEMBER"
[[rule]]
id = "now"
to = ["jp"]
disclose = ["a", "occurred_month"]
basis = "x"
[[rule]]
id = "later"
to = ["jp"]
disclose = ["b"]
after = "P1D"
basis = "x"
"""


async def test_a_release_counts_its_slots_by_what_became_of_them_and_its_seconds(metrics, now):
    vector = {
        "policy": POLICY,
        "schemas": {"test/1.0": SCHEMA},
        "node": "gb",
        "audience": "jp",
        "parties": {"gb": ["MEMBER", "GB"], "jp": ["MEMBER", "JP"]},
        "report": {
            "header": {"origin": "gb", "stage": "INITIAL", "tlp": "GREEN", "exercise": False, "schema": "test/1.0"},
            "slots": {"a": "x", "b": "x", "c": "x", "occurred_date": 40, "occurred_month": 31},
        },
        "chain": None,
        "incident": {"latest_tlp": "GREEN", "sent": False, "retracted": False, "forked": False},
        "now_minute": 100,
        "first_accepted_minute": 100,
        "approvals": [],
    }
    schemas = _schemas(vector["schemas"])
    decision = decide(_question(vector, _policy(POLICY, schemas), schemas.exact("test/1.0")))
    assert isinstance(decision, Decision), decision
    metrics.done(Done("jp", b"", "NEW", now[0] - 700, (decision,)))
    page = await read(metrics)
    counts = {w: page.value("tocsin_slots_total", audience="jp", what=w) for w in WHATS}
    assert counts == {"disclosed": 2, "coarsened": 1, "withheld": 1, "embargoed": 1}
    assert page.value("tocsin_decisions_released_total", audience="jp") == 1
    name = "tocsin_receipt_to_release_seconds"
    assert page.value(f"{name}_sum", audience="jp") == 0.7
    assert page.value(f"{name}_bucket", audience="jp", le="0.5") == 0
    assert page.value(f"{name}_bucket", audience="jp", le="1.0") == 1
