"""What countries write to each other, kept as files: of this code, and of each release (T21).

`snapshots/letters/<kind>.json` holds the form of the words of each kind of letter, and of the letter
around them; `python -m tests.contracts.letters` writes it for a new kind and for optional additions, and
refuses any other change. `releases/<number>/letters.json` holds the forms as they were released,
`letters.jsonl` golden letters as they stood inside their envelopes, each signed, `envelope.json` one of
them sealed. `python -m tests.contracts.released` keeps them with the events of a release.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from common.events import canonical
from common.federation.custody import (
    GENESIS,
    GIVEN_BACK,
    RECEIPT,
    ROLL,
    Owning,
    SignedStatement,
    Statement,
    digest_of,
    mark_of,
)
from common.federation.envelope import Letter, seal
from common.federation.keys import SealingKey, SigningKey, VerifyBy
from referral.domain.cross_border import Kind
from referral.schemas.letters import BODIES, Answer, Fact, Roll
from tests.contracts.snapshot import SNAPSHOTS, Schema, incompatible, without_words

FOLDER = SNAPSHOTS / "letters"
RELEASES = Path(__file__).parent / "releases"
WHAT_TO_DO = (
    "a country that has not been updated yet cannot read it: add a field that may be absent, or write a "
    "new kind of letter once every peer is of a release that knows it"
)
LETTER = "letter"
FORMS: Mapping[str, type[BaseModel]] = {
    **{str(kind): body for kind, body in BODIES.items()},
    RECEIPT: Fact,
    ROLL: Roll,
    GIVEN_BACK: Answer,
    LETTER: Letter,
}
"""The words of each kind of letter, and what is around them, with the statement that is signed."""

SIGNING, SEALING = SigningKey(bytes(range(32))), SealingKey(bytes(range(96)))
"""Whose halves everybody knows: those of the sender and of the recipient of golden letters."""
WRITTEN_AT = datetime(2026, 5, 4, 9, tzinfo=UTC)
_REFERRAL, _CASE, _SHELTER = UUID(int=1), UUID(int=2), UUID(int=3)
_REASON = {"reason": "NO_CAPACITY"}
_PROGRESS = {"referral_id": str(_REFERRAL), "said": 2, "said_hash": "a" * 64, "heard": 1}


@dataclass(frozen=True)
class Written:
    """The letters of one release."""

    number: int
    forms: Mapping[str, Schema]
    golden: Sequence[bytes]
    envelope: bytes


def signer(_country: str, kid: str, _at: datetime) -> VerifyBy | None:
    return SIGNING.public if kid == SIGNING.public.kid else None


# --- the form


def forms_now() -> dict[str, Schema]:
    return {name: form_of(model) for name, model in FORMS.items()}


def form_of(model: type[BaseModel]) -> Schema:
    return without_words(model.model_json_schema())


def load(name: str) -> Schema | None:
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def departures(before: Mapping[str, Schema], now: Mapping[str, Schema]) -> list[str]:
    """Return in what `now` is not what was before with optional additions, a sentence each."""
    return [
        f"{name} has changed ({'; '.join(faults)}); {WHAT_TO_DO}"
        for name, form in sorted(before.items())
        if (faults := [*_faults(form, now[name])] if name in now else ["it is gone"])
    ]


def _faults(old: Schema, new: Schema) -> Iterator[str]:
    """Yield them of the form and of each part in it: a part may grow as the whole does."""
    parts, grown = ({"": form, **form.get("$defs", {})} for form in (old, new))
    for name, part in parts.items():
        if name not in grown:
            yield f"{name}: removed"
            continue
        yield from (f"{name}.{fault}" for fault in incompatible(_alone(part), _alone(grown[name])))
    for name, part in grown.items():
        if part.get("additionalProperties") is False:
            yield f"{name}: refuses what a later release says besides"


def _alone(part: Schema) -> Schema:
    return {key: each for key, each in part.items() if key != "$defs"}


# --- what was written


@cache
def letters() -> dict[str, Letter]:
    """Return a letter of each kind, as this code writes it, with all that it may say."""
    return {kind: _letter(kind) for kind in FORMS if kind != LETTER}


def _letter(kind: str) -> Letter:
    words = FORMS[kind].model_validate(_words(kind)).model_dump(mode="json")
    salt = "" if kind in {RECEIPT, ROLL, GIVEN_BACK} else "5" * 32
    signed = SignedStatement.of(_statement(kind, digest_of(words, salt)), SIGNING)
    return Letter(
        id=UUID(int=4),
        sender="RS",
        recipient="XK",
        sent_at=WRITTEN_AT,
        said=signed,
        body=words,
        salt=salt,
    )


def _statement(kind: str, digest: str) -> Statement:
    is_first = kind == Kind.OFFER
    return Statement(
        referral_id=_REFERRAL,
        author="RS",
        peer="XK",
        number=1 if is_first else 2,
        kind=kind,
        digest=digest,
        previous=GENESIS if is_first else "b" * 64,
        heard=0 if is_first else 1,
        heard_hash=GENESIS if is_first else "c" * 64,
        said_at=WRITTEN_AT,
        owning=Owning(word="GIVEN", epoch=2) if kind == Kind.OWNERSHIP else None,
        about=mark_of(_REFERRAL, _CASE) if is_first else None,
        organisation_id=_SHELTER if kind == Kind.ACCEPTED else None,
    )


def _words(kind: str) -> dict[str, Any]:
    said = SignedStatement.of(_statement(Kind.OWNERSHIP, "d" * 64), SIGNING)
    given_back = {"referral_id": _REFERRAL, "heard": 1, "statements": [said]}
    words: dict[str, dict[str, Any]] = {
        Kind.OFFER: {
            "age_group": "12-17",
            "sex": "FEMALE",
            "needs": ["SHELTER", "COUNSELLING_INFORMATION"],
            "languages": ["sq", "sr-Latn"],
            "urgency": "HIGH",
        },
        Kind.PACKAGE: {
            "purpose": "ASSISTANCE",
            "data_groups": ["IDENTITY", "HEALTH"],
            "package": f"{'0' * 32}.{'A' * 7000}",
        },
        Kind.TRANSFER_PLANNED: {"planned_on": "2026-05-11"},
        Kind.ACCEPTED: {"organisation_id": _SHELTER, "recipient_kind": "SHELTER"},
        Kind.ARRIVED: {"on": "2026-05-12"},
        Kind.OWNERSHIP: {"word": "GIVEN", "epoch": 2},
        ROLL: {"asked": _CASE, "after": None, "upto": _SHELTER, "referrals": [_PROGRESS]},
        GIVEN_BACK: {
            "asked": _CASE,
            "after": None,
            "part": 0,
            "parts": 1,
            "referrals": [given_back],
        },
    }
    reasoned = {Kind.CANCELLED, Kind.RETURNED, Kind.DECLINED, Kind.FAILED}
    return words.get(kind, _REASON if kind in reasoned else {})


def sealed() -> bytes:
    return seal(letters()[Kind.OFFER], by=SIGNING, to=SEALING.public)


# --- files


def releases() -> list[Written]:
    """Return all releases whose letters are kept, the oldest first."""
    folders = sorted(RELEASES.iterdir(), key=lambda path: int(path.name))
    return [_read(folder) for folder in folders if (folder / "letters.json").exists()]


def _read(folder: Path) -> Written:
    return Written(
        int(folder.name),
        json.loads((folder / "letters.json").read_text(encoding="utf-8")),
        (folder / "letters.jsonl").read_bytes().splitlines(),
        (folder / "envelope.json").read_bytes().strip(),
    )


def write_release(folder: Path) -> None:
    """Keep the letters of this code beside the events of a release."""
    text = json.dumps(forms_now(), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "letters.json").write_text(text + "\n", encoding="utf-8")
    lines = [canonical(each.model_dump(mode="json")) + b"\n" for each in letters().values()]
    (folder / "letters.jsonl").write_bytes(b"".join(lines))
    (folder / "envelope.json").write_bytes(sealed() + b"\n")


def write() -> int:
    """Write the snapshots that may be written; return 1 and say why where one may not."""
    now = forms_now()
    before = {name: form for name in now if (form := load(name)) is not None}
    faults = departures(before, now)
    if faults:
        sys.stderr.write("\n".join(faults) + "\n")
        return 1
    FOLDER.mkdir(exist_ok=True)
    for name, form in now.items():
        text = json.dumps(form, indent=2, sort_keys=True, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(write())
