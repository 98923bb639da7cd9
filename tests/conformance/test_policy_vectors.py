"""The policy vectors: what is committed is what the script makes, and the node decides as they were written by hand."""

import json

import pytest
from schemas.vectors import generate_policy

from tocsin.flow.vector import run_policy_vector
from tocsin.policy.invariants import Why

VECTORS = generate_policy.committed()


def test_the_committed_vectors_are_those_of_the_script():
    assert generate_policy.vectors() == VECTORS


@pytest.mark.parametrize("name", VECTORS)
def test_the_node_decides_as_the_vector_says(name):
    vector = json.loads(VECTORS[name])
    assert run_policy_vector(vector) == vector["expect"]


@pytest.mark.parametrize("name", [n for n in VECTORS if not n.startswith(("loaded-", "refused-"))])
def test_only_vectors_about_refused_policies_have_one(name):
    """A vector that expects nothing must not do so because its own policy was mistyped."""
    vector = json.loads(VECTORS[name])
    loaded = run_policy_vector(vector | {"report": None})["valid"]
    assert loaded or vector["expect"].get("nothing") == "POLICY"


def test_every_reason_for_nothing_and_every_part_of_an_answer_has_a_vector():
    expected = [json.loads(text)["expect"] for text in VECTORS.values()]
    assert {e["nothing"] for e in expected if "nothing" in e} == set(Why)
    codes = {why["code"] for e in expected for why in e.get("withheld", {}).values()}
    assert codes == {"EMBARGOED", "COARSENED", "WITHHELD"}
    kinds = {limit["kind"] for e in expected for limit in e.get("limits", [])}
    assert kinds == {"MEMBER", "AUTHORITY", "BODY", "COMMUNITY", "PUBLIC"}
    assert {e["valid"] for e in expected if "valid" in e} == {True, False}
