"""The narrated story: it is played on real processes, and it breaks off where something is wrong."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from common.federation.peers import read_peers
from prag import hub
from prag.demo import telling
from prag.demo.country import StoryError
from prag.demo.stage import Story
from tests.system.trying import letters_in, opened

pytestmark = pytest.mark.system


@pytest.mark.row("F42", "C4")
def test_every_step_of_the_story_holds_and_the_figure_changes(tmp_path: Path) -> None:
    # Fails with any step that does not hold, for instance a referral that needs no consent.
    done = subprocess.run(
        [sys.executable, "-m", "prag.cli", "demo"],
        env={"PRAG_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert report["held"] is True
    assert len(report["steps"]) == len(telling.STEPS)
    figures = report["figures"]
    assert figures["persons_assisted_after"] == figures["persons_assisted_before"] + 1
    assert set(report["ids"]) == {
        *("service", "notice", "case", "referral", "plan"),
        *("crossing", "crossing_case", "case_abroad"),
    }
    _assert_only_the_countries_open_their_letters(tmp_path / "demo")


def _assert_only_the_countries_open_their_letters(left: Path) -> None:
    """S3. Seeded: a country's keys, or a master key and what it seals, in the hub's folder."""
    letters = letters_in(left / "hub" / hub.LOG)
    to = Counter(json.loads(letter)["recipient"] for letter in letters)
    signer = {code: read_peers(left / code / "peers").directory.signer for code in ("rs", "xk")}

    assert to.keys() == {"RS", "XK"}
    # The same trial opens each country's own letters with what lies in its folder.
    assert opened(letters, left / "xk", signer["xk"]) == to["XK"]
    assert opened(letters, left / "rs", signer["rs"]) == to["RS"]
    assert [opened(letters, left / "hub", each) for each in signer.values()] == [0, 0]


def test_a_step_that_does_not_hold_ends_the_story_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(_: Story) -> str:
        """Something that is not true."""
        raise StoryError("it was not true")

    monkeypatch.setattr(telling, "STEPS", (wrong,))

    code = telling.run(tmp_path, "RS")

    assert code == 1
    assert "FAILED: it was not true" in capsys.readouterr().out
    assert json.loads((tmp_path / "demo" / "report.json").read_text())["held"] is False
