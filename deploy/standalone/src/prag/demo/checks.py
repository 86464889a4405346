"""What the story checks: that a thing holds, and that a word stands in no file."""

from collections.abc import Collection, Iterable
from pathlib import Path

from prag.demo.country import StoryError


def expect(holds: bool, what: str) -> None:  # noqa: FBT001
    """Go on if `what` is so; StoryError if not."""
    if not holds:
        raise StoryError(f"this did not hold: {what}")


def search(files: Iterable[Path], hints: Collection[str], *, control: str = "") -> tuple[int, bool]:
    """Search files for words in any of their forms; StoryError where one stands.

    Return how many bytes were searched, and whether `control`, which must stand there, was found.
    """
    searched, has_control = 0, False
    for path in files:
        content = path.read_bytes()
        searched += len(content)
        has_control = has_control or control.encode() in content
        for hint in hints:
            for form in (hint.encode(), hint.encode("utf-16-le"), hint.upper().encode()):
                expect(form not in content, f"her data do not stand in clear in {path.name}")
    return searched, has_control
