"""deploy/docker/secrets: what is made once, and what cannot be made any more."""

import subprocess
from pathlib import Path

import pytest

from tests.house import ROOT

pytestmark = pytest.mark.system


def make(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(ROOT / "deploy" / "docker" / "secrets"), str(folder)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)  # noqa: S603


def test_without_the_key_of_the_authority_only_a_new_certificate_is_refused(tmp_path: Path) -> None:
    # Fails when the operator who took ca.key away, as was said, is told nothing, or loses something.
    folder, away = tmp_path / "secrets", tmp_path / "ca.key"
    assert make(folder).returncode == 0
    (folder / "ca.key").rename(away)
    assert make(folder).returncode == 0
    (folder / "kafka.pem").unlink()
    before = {file.name: file.stat().st_ino for file in folder.iterdir()}

    refused = make(folder)

    assert refused.returncode == 78
    assert "bring ca.key back" in refused.stderr
    assert "kafka.pem" in refused.stderr
    assert {file.name: file.stat().st_ino for file in folder.iterdir()} == before
    away.rename(folder / "ca.key")
    assert make(folder).stdout == "made kafka.pem\n"
