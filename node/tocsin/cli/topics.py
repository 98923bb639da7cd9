"""`tocsin topics apply`: the topics and rights that the configuration wants, shown, then made."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.output import DONE, FAILED, OPTIONS, command, needing, print_json, say
from tocsin.config import Cluster, load
from tocsin.config.problems import validated
from tocsin.config.tables import Table


class Administrator(Table):
    """The file of `--admin`: how an administrator reaches the node's cluster."""

    node: Table
    """Nothing: the table that every configuration has, and this one leaves empty."""
    kafka: Cluster
    """The node's cluster, as the administrator reaches it."""


Revoke = Annotated[bool, typer.Option("--revoke-unknown", help="Also take away rights that the configuration lacks.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")]
Admin_ = Annotated[
    Path | None,
    typer.Option(
        "--admin", help=r"A TOML with the \[kafka] of an administrator, where the node itself may not.", exists=True
    ),
]


@command
async def apply(revoke: Revoke = False, dry_run: DryRun = False, admin: Admin_ = None) -> int:
    """Make the node's topics and access rights as its configuration and policies want them; safe to repeat."""
    with needing("node"):
        from tocsin.desk import read_setting  # noqa: PLC0415 - a reader's install has no administration of Kafka
        from tocsin.kafka.admin import Admin  # noqa: PLC0415
        from tocsin.kafka.configured import reach, wanted  # noqa: PLC0415
        from tocsin.kafka.plan import compare  # noqa: PLC0415
    config = load(OPTIONS.config)
    want = wanted(config, read_setting(config).audiences())
    cluster = validated(Administrator, admin).kafka if admin is not None else config.kafka
    way = Admin(reach(cluster, config.node.id))
    plan = compare(config.node.id, want, await way.find(want))
    lines = plan.lines()
    if OPTIONS.json:
        print_json({"dry_run": dry_run, "revoke_unknown": revoke, **_told(plan)})
    for line in lines:
        say(line)
    if not lines:
        say("everything is as it should be")
    if dry_run:
        return DONE
    await way.apply(plan, revoke=revoke)
    # What is there now, not what was asked for: a cluster may accept and not do.
    left = compare(config.node.id, want, await way.find(want))
    undone = [*left.create, *left.change, *left.grant, *(left.unknown if revoke else ())]
    for problem in undone:
        say(f"still not done: {problem}")
    if not undone and (plan.create or plan.change or plan.grant or (revoke and plan.unknown)):
        say("done")
    if left.unknown and not revoke:
        say(f"{len(left.unknown)} unknown rights stay; `tocsin topics apply --revoke-unknown` takes them away")
    return FAILED if undone else DONE


def _told(plan: Any) -> dict[str, Any]:
    return {
        "create": [topic.name for topic in plan.create],
        "change": [dataclasses.asdict(change) for change in plan.change],
        "grant": [str(acl) for acl in plan.grant],
        "unknown": [str(acl) for acl in plan.unknown],
        "problems": list(plan.problems),
    }
