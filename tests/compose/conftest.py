"""Containers are asked for by name (`make test-compose`): they take minutes and a machine of one's own."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = any("tests/compose" in argument for argument in config.invocation_params.args)
    return None if asked else True
