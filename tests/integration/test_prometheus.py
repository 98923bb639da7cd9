"""The alert rules, tried by Prometheus' own promtool, and held against what a node really shows.

promtool comes with Debian's package `prometheus`; no Python package has it. It is looked for on the PATH and in the
cache folder (`TOCSIN_CACHE`, else ~/.cache/tocsin) under prometheus/usr/bin, where `dpkg -x` puts it.
"""

import dataclasses
import inspect
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tocsin.flow.loops import State
from tocsin.flow.recover import Recovered
from tocsin.kafka.dev import cache_folder
from tocsin.metrics import Metrics, Snapshot, SourceGauges
from tocsin.policy.invariants import Why
from tocsin.survey import survey
from tocsin.wire.keys import KeyUse
from tocsin.wire.reasons import RETRIABLE, Note, Reason

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = FOLDER / "tocsin.rules.yml"


def alerts(text):
    """Alert name → its part of the text."""
    parts = re.split(r"^ *- alert: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture
def promtool():
    cache = cache_folder()
    found = shutil.which("promtool") or shutil.which("promtool", path=cache / "prometheus" / "usr" / "bin")
    if found is None:
        words = f"promtool is not installed: apt-get install prometheus, or dpkg -x its package into {cache}/prometheus"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)

    def run(*arguments, folder=FOLDER):
        done = subprocess.run(
            [found, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_configuration_and_rules_are_well_formed(promtool):
    code, said = promtool("check", "config", "prometheus.yml")
    assert code == 0, said


@pytest.mark.parametrize("name", ["fires", "quiet"])
def test_every_alert_fires_on_what_it_is_for_and_stays_quiet_on_what_is_close_to_it(promtool, name):
    code, said = promtool("test", "rules", f"tests/{name}.yml")
    assert code == 0, said


@pytest.mark.parametrize(("name", "expr"), [("fires", "vector(1) > 2"), ("quiet", "vector(2) > 1")])
def test_a_rule_that_never_or_always_fires_is_noticed(promtool, tmp_path, name, expr):
    shutil.copytree(FOLDER, tmp_path / "prometheus")
    broken, count = re.subn(
        r"expr: (>-\n.*?|.*?)(?=\n *for:)", f"expr: {expr}", RULES.read_text(), flags=re.DOTALL
    )  # fmt: skip
    names = set(alerts(broken))
    assert count == len(names)
    (tmp_path / "prometheus" / RULES.name).write_text(broken)
    code, said = promtool("test", "rules", f"tests/{name}.yml", folder=tmp_path / "prometheus")
    assert code != 0
    assert names <= set(re.findall(r"Tocsin\w+", said))


def test_every_alert_has_a_case_that_fires_and_one_that_stays_quiet():
    names = set(alerts(RULES.read_text()))
    for file in ("fires", "quiet"):
        text = (FOLDER / "tests" / f"{file}.yml").read_text()
        assert set(re.findall(r"^  # (Tocsin\w+)", text, re.MULTILINE)) == names


def test_every_alert_has_a_severity_a_summary_and_says_what_to_do():
    for name, part in alerts(RULES.read_text()).items():
        assert re.search(r"labels: \{severity: (critical|warning)\}", part), name
        assert re.search(r"summary: \".+\"", part), name
        assert len(part.partition("description:")[2].split()) > 20, name


async def test_every_metric_and_label_value_that_a_rule_names_is_one_that_a_node_shows():
    metrics = Metrics(clock=lambda: 0, sources={"jp": 30}, audiences=["jp"], version="1")
    keys = {KeyUse.EVENT: 1, KeyUse.RELAY: 1}
    metrics.set_gauges(Snapshot(sources=[("jp", SourceGauges(head_age_s=1.0))], key_not_after_ms=keys))
    page = (await metrics.page()).decode()
    text = "".join(part.partition("labels:")[0] for part in alerts(RULES.read_text()).values())
    names = set(re.findall(r"(?:tocsin|process)_\w+", text))
    assert len(names) > 15
    assert names <= set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))
    values = {v for found in re.findall(r'(?<=")[A-Z_|]+(?=")', text) for v in found.split("|")}
    known = [{one.value for one in kind} for kind in (Reason, Note, State, Recovered, Why)]
    assert values <= set().union(*known)


def test_whatever_the_metrics_can_be_told_somebody_tells_them():
    """A gauge that nobody sets stays at 0, and its alert asleep."""
    told = {name for name in vars(Metrics) if not name.startswith("_")}
    node = Path(inspect.getfile(Metrics)).parent
    code = "".join(file.read_text() for file in node.rglob("*.py") if file.name != "metrics.py")
    assert {name for name in told if f"etrics.{name}" not in code} == set()
    filled = set(re.findall(r"(\w+)=", inspect.getsource(survey)))
    assert {field.name for field in dataclasses.fields(Snapshot)} <= filled


def test_a_reason_that_may_change_with_time_is_told_apart_from_one_that_is_final():
    found = alerts(RULES.read_text())
    waiting = {reason.value for reason in RETRIABLE}
    for alert, expected in (
        ("TocsinVerificationFailures", waiting | {Reason.INTERNAL.value}),
        ("TocsinRecordsWait", waiting),
    ):
        assert set(re.search(r"~\s*\"([A-Z_|]+)\"", found[alert])[1].split("|")) == expected
