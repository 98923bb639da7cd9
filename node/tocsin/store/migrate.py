"""Alembic without an alembic.ini: the tables are brought to this version's over a connection that is given."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from tocsin.errors import AdapterError

MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x746F6373696E  # "tocsin": the number under which PostgreSQL lets one process migrate at a time


def config(connection: Connection) -> Config:
    """Alembic's configuration over one connection; no file is read for it."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    made.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    return made


def upgrade(connection: Connection, place: str) -> None:
    """Bring the tables to the newest revision, within the transaction of the connection.

    `AdapterError` where a newer version of Tocsin wrote them.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    _require_known(connection, place)
    command.upgrade(config(connection), "head")


def _require_known(connection: Connection, place: str) -> None:
    scripts = ScriptDirectory.from_config(config(connection))
    found, newest = MigrationContext.configure(connection).get_current_revision(), scripts.get_current_head()
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        thing = f"a newer version of Tocsin wrote the store (revision {found}; this version knows up to {newest})"
        raise AdapterError(thing, place=place, remedy="Install that version, or restore the backup made before it.")
