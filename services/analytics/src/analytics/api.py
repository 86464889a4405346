"""The HTTP process: `python -m analytics.api`."""

import common.garbage  # noqa: F401  first of all: it hastens the imports
from analytics.app import create_app
from analytics.settings import Settings
from common.process import serve_forever

if __name__ == "__main__":
    serve_forever("analytics", Settings, create_app)
