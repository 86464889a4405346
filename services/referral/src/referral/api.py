"""The HTTP process: `python -m referral.api`."""

import common.garbage  # noqa: F401  first of all: it hastens the imports
from common.process import serve_forever
from referral.app import create_app
from referral.commands.held import begin
from referral.settings import Settings

if __name__ == "__main__":
    serve_forever("referral", Settings, create_app, begin=begin)
