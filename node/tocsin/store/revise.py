"""Make a migration from the difference between tables.py and the migrations: `python -m tocsin.store.revise TEXT`.

For the author of a change only; see migrations/README.md.
"""

import argparse
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from tocsin.store import migrate


def main() -> None:
    """Write migrations/versions/rNNNN_TEXT.py; `--initial` makes the first one anew and deletes all others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", help="what changes, in a few words")
    parser.add_argument("--initial", action="store_true", help="start anew; only before the first release")
    asked = parser.parse_args()
    if asked.initial:
        for old in (migrate.MIGRATIONS / "versions").glob("r*.py"):
            old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{Path(folder) / 'scratch'}")
        with engine.begin() as connection:
            config = migrate.config(connection)
            command.upgrade(config, "heads")
            number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
            command.revision(config, asked.text, autogenerate=True, rev_id=f"{number:04}")
        engine.dispose()


if __name__ == "__main__":
    main()
