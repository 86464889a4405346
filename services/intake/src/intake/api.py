"""The HTTP process: `python -m intake.api`."""

import common.garbage  # noqa: F401  first of all: it hastens the imports
from common.process import serve_forever
from intake.app import create_app
from intake.commands.ownership import begin
from intake.settings import Settings

if __name__ == "__main__":
    serve_forever("intake", Settings, create_app, begin=begin)
