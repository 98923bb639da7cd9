"""`tocsin`: the commands, in the order in which an institute needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tocsin import __version__
from tocsin.cli.output import OPTIONS
from tocsin.cli.run import run_node
from tocsin.cli.verify import verify_files

app = typer.Typer(
    help="Tocsin: signed AI-incident reports between countries, each reader seeing what policy allows.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
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
    """Options of every command stand before it."""
    del version
    OPTIONS.config, OPTIONS.json, OPTIONS.traceback = config, as_json, traceback


app.command("run")(run_node)
app.command("verify")(verify_files)


def main() -> None:
    """The entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
