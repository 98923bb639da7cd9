"""incident/1.0 says what the crosswalk asks for, and what is generated from it is current."""

import csv
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tocsin.errors import InputError
from tocsin.packaged import PUBLISHED, packaged, published_schemas
from tocsin.report import incident
from tocsin.report.lifecycle import NEXT, can_follow, require_following
from tocsin.report.regions import REGIONS
from tocsin.report.schema import CLASSES, HEADER_NAMES
from tocsin.wire.header import Stage

ROOT = Path(__file__).parents[2]
DESIGN = ROOT.parent / "shared" / "design"
SCHEMA = published_schemas().exact("incident/1.0")


def design(name):
    path = DESIGN / name
    if not path.exists():
        pytest.skip(f"{name} of the design is not beside the repository")
    return path.read_text(encoding="utf-8")


def test_generated_files_are_what_the_script_writes():
    run = subprocess.run(
        [sys.executable, ROOT / "schemas" / "generate_types.py", "--check"], capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()


def test_the_check_of_generated_files_fails_on_a_difference(tmp_path):
    (tmp_path / "node" / "tocsin" / "report").mkdir(parents=True)
    for name in ("generate_types.py", "region-1.csv", "incident/1.0/incident.avsc"):
        copy = tmp_path / "schemas" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / "schemas" / name).read_bytes())
    script = [sys.executable, tmp_path / "schemas" / "generate_types.py"]
    assert subprocess.run([*script, "--check"], capture_output=True, check=False).returncode == 1
    assert subprocess.run(script, check=False).returncode == 0
    assert subprocess.run([*script, "--check"], check=False).returncode == 0
    with (tmp_path / "node" / "tocsin" / "report" / "incident.py").open("a") as file:
        file.write("\n")
    stale = subprocess.run([*script, "--check"], capture_output=True, check=False)
    assert stale.returncode == 1
    assert b"incident.py" in stale.stderr


def test_every_oecd_criterion_has_a_field():
    criteria = {of.crosswalk["oecd"] for of in SCHEMA.fields if "oecd" in of.crosswalk}
    assert criteria == {str(number) for number in range(1, 30)}


def test_every_field_has_class_and_meaning_and_no_name_of_the_header():
    for of in SCHEMA.fields:
        assert of.cls in CLASSES
        assert of.doc.endswith("."), of.name
        assert of.name not in HEADER_NAMES
    assert 1 <= len(SCHEMA.fields) <= 256
    assert {of.cls for of in SCHEMA.fields} == CLASSES


def test_the_ladders_are_those_of_the_issue():
    rungs = {of.name: (SCHEMA.fields[of.rung.of].name, of.rung.by) for of in SCHEMA.fields if of.rung}
    assert rungs == {
        "occurred_day": ("occurred_from", "day/1"),
        "occurred_month": ("occurred_day", "month/1"),
        "occurred_to_day": ("occurred_to", "day/1"),
        "occurred_to_month": ("occurred_to_day", "month/1"),
        "regions": ("countries", "region/1"),
        "severity_band": ("severity", "band/1"),
        "deaths_magnitude": ("deaths", "magnitude/1"),
        "injured_magnitude": ("injured", "magnitude/1"),
        "affected_magnitude": ("affected", "magnitude/1"),
        "loss_usd_magnitude": ("loss_usd", "magnitude/1"),
    }


def test_sets_of_symbols_and_names_are_sets():
    """An array of enums or strings has no order that means anything."""
    for of in SCHEMA.fields:
        if of.type.items is not None and of.type.items.kind in {"enum", "string", "fixed"}:
            assert of.is_set, of.name


NOT_SLOTS = {"event_id", "node_id", "signature", "clocks", "tlp", "iep", "redactions"}
"""Of the header, of the hops, or of later versions; where handling is said: schemas/README.md, section 10."""
RENAMED = {
    "submitter": "submitter_role submitter_organisation submitter_contact",
    "fidelity": "occurred_fidelity",
    "harm_quantities": "deaths injured affected loss",
}


def test_every_field_of_the_crosswalk_is_there_with_its_criterion_and_section():
    rows = design("VOCABULARY.md").split("## 11.")[1].split("## 12.")[0].splitlines()
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("| ")][1:]
    assert len(rows) > 35
    for ours, oecd, eu, *_ in rows:
        names = re.sub(r"\{[^}]*\}|\([^)]*\)", "", ours).replace("[", "").replace("]", "")
        for name in (part.strip() for part in names.split(",")):
            for slot in [] if name in NOT_SLOTS else RENAMED.get(name, name).split():
                of = SCHEMA.named(slot)
                assert of is not None, slot
                if oecd != "-":
                    assert of.crosswalk.get("oecd") == oecd, slot
                assert eu == "-" or "eu" in of.crosswalk, slot


def test_enumerations_are_those_of_the_vocabulary():
    """Of EventKind an incident report has the kinds of incidents; the others are other reports."""
    section = re.sub(r"\([^)]*\)", "", design("VOCABULARY.md").split("## 10.")[1].split("Avro note")[0])
    ours = {of.type.name.rpartition(".")[2]: of.type.symbols for of in SCHEMA.fields if of.type.kind == "enum"}
    ours |= {
        of.type.items.name.rpartition(".")[2]: of.type.items.symbols
        for of in SCHEMA.fields
        if of.type.items is not None and of.type.items.kind == "enum"
    }
    checked = 0
    for name, words in re.findall(r"`([A-Z][A-Za-z]+)` *: ([^;`]*?)(?=[;\n`])", section):
        symbols = tuple(re.findall(r"\b[A-Z][A-Z0-9_]+\b", words))
        if name == "EventKind":
            assert ours[name] == symbols[:4]
        elif name in ours:
            assert ours[name] == symbols, name
            checked += 1
    assert checked >= 18


def test_the_region_table_has_every_country_of_iso_3166_once():
    """Counts by M49 sub-region; Taiwan has no M49 code, and Antarctica no sub-region."""
    rows = list(csv.DictReader(packaged("region-1.csv").decode().splitlines()))
    assert {row["alpha2"]: row["m49_subregion"] for row in rows} == REGIONS
    assert len(rows) == len(REGIONS) == 249
    assert list(REGIONS) == sorted(REGIONS)
    assert all(re.fullmatch("[A-Z]{2}", code) for code in REGIONS)
    assert Counter(REGIONS.values()) == {
        "202": 53, "419": 52, "145": 18, "154": 16, "039": 16, "035": 11, "061": 10, "151": 10, "155": 9, "034": 9,
        "015": 7, "030": 7, "057": 8, "053": 6, "021": 5, "054": 5, "143": 5, "000": 2,
    }  # fmt: skip
    assert [code for code, region in REGIONS.items() if region == "000"] == ["AQ", "TW"]
    known = {
        "GB": "154",
        "JP": "030",
        "KE": "202",
        "US": "021",
        "BR": "419",
        "FR": "155",
        "AU": "053",
        "IN": "034",
        "PL": "151",
    }
    assert known.items() <= REGIONS.items()


def test_every_published_schema_is_loaded_from_its_own_bytes():
    assert [schema.id for schema in published_schemas()] == list(PUBLISHED)
    assert SCHEMA.text == packaged("incident/1.0/incident.avsc")
    assert published_schemas().latest("incident", 1) is SCHEMA
    with pytest.raises(FileNotFoundError):
        packaged("nothing.csv")


def test_typed_classes_have_the_fields_of_the_schema():
    assert list(incident.Incident.__dataclass_fields__) == [of.name for of in SCHEMA.fields]
    assert incident.Incident() == incident.Incident(title=None)
    assert [kind.value for kind in incident.EventKind] == ["HAZARD", "NEAR_MISS", "INCIDENT", "AGGREGATE_HARM"]


def test_the_life_cycle_ends_with_a_retraction_and_a_final_report_may_be_reopened():
    assert set(NEXT) == set(Stage)
    assert not any(Stage.INITIAL in following for following in NEXT.values())
    assert NEXT[Stage.RETRACTION] == frozenset()
    assert can_follow(Stage.FINAL, Stage.UPDATE)
    assert can_follow(Stage.FINAL, Stage.RETRACTION)
    assert not can_follow(Stage.FINAL, Stage.FINAL)
    assert all(can_follow(stage, Stage.RETRACTION) for stage in Stage if stage is not Stage.RETRACTION)
    with pytest.raises(InputError, match="After FINAL: UPDATE, RETRACTION"):
        require_following(Stage.FINAL, Stage.FINAL, place="")
    with pytest.raises(InputError, match="a report of its own"):
        require_following(Stage.RETRACTION, Stage.UPDATE, place="")
