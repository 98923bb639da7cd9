"""`tocsin`: the commands, in the order in which an institute needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tocsin import __version__
from tocsin.cli import (
    dev,
    holds,
    inbox,
    issue,
    parties,
    policies,
    quarantine,
    report,
    setup,
    show,
    store,
    streams,
    topics,
    trace,
    watch,
)
from tocsin.cli.output import OPTIONS, begin_output, complain, log_as_json, needing
from tocsin.cli.verify import verify_files
from tocsin.errors import InputError

_EXITS = (
    "Times are UTC. Exit codes: 0 done; 1 refused or failed, with the thing, the place and the remedy; 2 wrong usage; "
    "3 something does not verify (verify, trace); 70 a bug; 130 interrupted."
)


@contextmanager
def _wrong_usage_too() -> Iterator[None]:
    """With --json, wrong usage is told like any other error."""
    try:
        yield
    except typer.TyperException as wrong:
        if not OPTIONS.json:
            raise
        thing = wrong.format_message() or "a command is missing"  # the help is no message
        complain(InputError(thing, remedy="--help after the command shows how it is used"))
        raise typer.Exit(wrong.exit_code) from wrong


class _Anywhere(TyperGroup):
    """`--json` and `--traceback` may stand anywhere: they are of every command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words of the command line, with those two first."""
        end = args.index("--") if "--" in args else len(args)
        front = [word for word in args[:end] if word in {"--json", "--traceback"}]
        rest = [word for word in args[:end] if word not in {"--json", "--traceback"}]
        OPTIONS.json = "--json" in front  # now: the words themselves may be wrong
        with _wrong_usage_too():
            return super().parse_args(ctx, front + rest + args[end:])

    def invoke(self, ctx: Any) -> Any:
        """The command, whose words are read only here."""
        with _wrong_usage_too():
            return super().invoke(ctx)


def _group(about: str) -> typer.Typer:
    return typer.Typer(help=about, no_args_is_help=True)


app = typer.Typer(
    cls=_Anywhere,
    help=f"Tocsin: signed AI-incident reports between countries, each reader seeing what policy allows.\n\n{_EXITS}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tocsin {__version__}, protocol 1")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[Path, typer.Option("--config", "-c", envvar="TOCSIN_CONFIG", help="The node's TOML.")] = Path(
        "tocsin.toml"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of tables and sentences.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show a traceback with an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """-c stands before the command; --json and --traceback anywhere."""
    del version
    OPTIONS.config, OPTIONS.json, OPTIONS.traceback = config, as_json, traceback
    if as_json:
        log_as_json()


def run() -> None:
    """Run the node until SIGTERM or Ctrl-C; SIGHUP reads trust, schemas and policies again, not the configuration."""
    with needing("node"):
        from tocsin.cli.run import run_node  # noqa: PLC0415 - every other command starts without database and web server
    run_node()


peer, lab, reader = _group("Other institutes."), _group("Labs that submit."), _group("Who reads this node's streams.")
policy, hold = _group("What is disclosed, to whom, and why."), _group("Releases that wait for an officer.")
rest, importing = _group("Rejected records at rest."), _group("Incidents from elsewhere, as documents.")
kafka_topics, development = _group("This node's topics and rights."), _group("For trying things out.")
stored = _group("The SQLite store, copied and put back.")
dev_kafka = _group("A real Apache Kafka broker without Docker.")

_COMMANDS: dict[typer.Typer, dict[str, Any]] = {
    peer: {
        "add": parties.peer_add,
        "list": parties.peer_list,
        "status": streams.peer_status,
        "suspend": parties.peer_suspend,
        "resume": parties.peer_resume,
        "remove": parties.peer_remove,
    },
    lab: {
        "enrol": parties.lab_enrol,
        "list": parties.lab_list,
        "remove": parties.lab_remove,
        "init": setup.lab_init,
    },
    reader: {
        "add": parties.reader_add,
        "list": parties.reader_list,
        "remove": parties.reader_remove,
        "init": setup.reader_init,
    },
    policy: {
        "explain": policies.explain_report,
        "preview": policies.preview,
        "validate": policies.validate_file,
    },
    hold: {"list": holds.list_holds, "show": holds.show_hold, "approve": holds.approve, "refuse": holds.refuse},
    rest: {
        "list": quarantine.list_rows,
        "show": quarantine.show_row,
        "replay": quarantine.replay,
        "drop": quarantine.drop,
    },
    importing: {"genai-incidents": report.import_genai_incidents},
    kafka_topics: {"apply": topics.apply},
    stored: {"backup": store.backup, "restore": store.restore},
    dev_kafka: {"up": dev.kafka_up, "down": dev.kafka_down},
}
for _of, _commands in _COMMANDS.items():
    for _name, _work in _commands.items():
        _of.command(_name)(_work)
development.add_typer(dev_kafka, name="kafka")

app.command("init", rich_help_panel="Set up")(setup.init)
app.add_typer(peer, name="peer", rich_help_panel="Set up")
app.add_typer(lab, name="lab", rich_help_panel="Set up")
app.add_typer(reader, name="reader", rich_help_panel="Set up")
app.add_typer(kafka_topics, name="topics", rich_help_panel="Set up")
app.command("run", rich_help_panel="Set up")(run)
app.command("inbox", rich_help_panel="Reports")(inbox.inbox)
app.command("issue", rich_help_panel="Reports")(issue.issue)
app.command("dismiss", rich_help_panel="Reports")(inbox.dismiss)
app.command("list", rich_help_panel="Reports")(inbox.list_reports)
app.command("show", rich_help_panel="Reports")(show.show)
app.command("trace", rich_help_panel="Reports")(trace.trace)
app.command("verify", rich_help_panel="Reports")(verify_files)
app.command("watch", rich_help_panel="Reports")(watch.watch)
app.add_typer(policy, name="policy", rich_help_panel="Disclosure")
app.add_typer(hold, name="hold", rich_help_panel="Disclosure")
app.command("withhold", rich_help_panel="Disclosure")(holds.withhold)
app.add_typer(rest, name="quarantine", rich_help_panel="Operation")
app.add_typer(stored, name="store", rich_help_panel="Operation")
app.command("resend", rich_help_panel="Operation")(quarantine.resend)
app.command("report", rich_help_panel="For labs and developers")(report.report)
app.add_typer(importing, name="import", rich_help_panel="For labs and developers")
app.add_typer(development, name="dev", rich_help_panel="For labs and developers")


def main() -> None:
    """The entry point of the installed command."""
    begin_output()
    app()


if __name__ == "__main__":
    main()
