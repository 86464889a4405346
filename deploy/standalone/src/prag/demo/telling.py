"""Tells the story: a title, what happens, what was shown; at the end the figures, or what failed."""

import json
import shutil
from pathlib import Path

from common.clock import monotonic, utcnow
from prag.demo import abroad
from prag.demo.country import Country, Hub, StoryError
from prag.demo.stage import Abroad, Story
from prag.demo.story import END, HOME

NEIGHBOUR = "XK"
STEPS = (*HOME, *abroad.STEPS, *END)


def run(home: Path, country: str) -> int:
    """Play the story in `<home>/demo`; return 0 only if every step held. Writes report.json there."""
    folder = home / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    started = monotonic()
    report: dict[str, object] = {
        "country": country,
        "started_at": utcnow().isoformat(),
        "steps": [],
    }
    hub = Hub(folder / "hub")
    stage = Country(folder / country.lower(), country, hub)
    there = Country(folder / NEIGHBOUR.lower(), NEIGHBOUR, hub)
    code = 0
    try:
        with hub.running(), stage.running(), there.running():
            seconds = stage.start()
            print(f"A country starts: four services, ready after {seconds:.1f} s.\n", flush=True)
            _tell(stage, there, hub, report)
    except StoryError as error:
        print(f"   FAILED: {error}", flush=True)
        report["failed"] = str(error)
        code = 1
    report["seconds"] = round(monotonic() - started, 1)
    report["held"] = code == 0
    (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    print(
        f"\n{'Every step held' if code == 0 else 'The story broke off'} after {report['seconds']} s."
        f"\nWhat it left is in {folder} and goes with the next demo; your own country begins with `make run`."
    )
    return code


def _tell(stage: Country, there: Country, hub: Hub, report: dict[str, object]) -> None:
    story = Story(stage)
    story.abroad = Abroad(story, there, hub)
    told: list[dict[str, str]] = []
    report |= {"steps": told, "ids": story.ids, "figures": story.figures}
    for number, step in enumerate(STEPS, 1):
        print(f"{number:2}. {(step.__doc__ or '').strip()}", flush=True)
        shown = step(story)
        print(f"    → {shown}", flush=True)
        told.append({"step": step.__name__, "shown": shown})
    before, after = (
        story.figures["persons_assisted_before"],
        story.figures["persons_assisted_after"],
    )
    print(f"\nThe figure the story changed: persons assisted {before} → {after}.")
