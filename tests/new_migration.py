"""Write a new migration: `python -m tests.new_migration intake "create tables"`; then read and tidy it."""

import sys
import tempfile
from importlib import import_module
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from common.migrations import upgrade


def main(service: str, message: str) -> None:
    folder: Path = import_module(f"{service}.migrate").MIGRATIONS
    with tempfile.TemporaryDirectory() as scratch:
        url = f"sqlite:///{scratch}/new.db"
        if any((folder / "versions").glob("*.py")):
            upgrade(folder, url)
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.set_main_option("path_separator", "os")
        config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
        number = len(list((folder / "versions").glob("*.py"))) + 1
        with create_engine(url).connect() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
