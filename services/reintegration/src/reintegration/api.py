"""The HTTP process: `python -m reintegration.api`."""

import common.garbage  # noqa: F401  first of all: it hastens the imports
from common.process import serve_forever
from reintegration.app import create_app
from reintegration.settings import Settings

if __name__ == "__main__":
    serve_forever("reintegration", Settings, create_app)
