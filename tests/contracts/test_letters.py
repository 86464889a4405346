"""Letters cross from one release to another, both ways (T21): what was released only grows."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from common.events import canonical
from common.federation.custody import SignedStatement, digest_of
from common.federation.envelope import Letter, open_envelope
from referral.domain.cross_border import Kind
from tests.contracts.letters import (
    FOLDER,
    FORMS,
    LETTER,
    SEALING,
    SIGNING,
    WHAT_TO_DO,
    WRITTEN_AT,
    Written,
    departures,
    forms_now,
    letters,
    load,
    releases,
    sealed,
    signer,
)
from tests.contracts.snapshot import Schema
from tests.referral.story import now_is

RELEASES = releases()
NOW = forms_now()
each_release = pytest.mark.parametrize("release", RELEASES, ids=lambda each: f"r{each.number}")


@pytest.mark.row("F40")
@pytest.mark.parametrize("name", FORMS)
def test_a_letter_looks_as_its_snapshot_says(name: str) -> None:
    # Fails for each change of a letter's form: `python -m tests.contracts.letters` says if it may be.
    assert load(name) == NOW[name]


def test_every_snapshot_has_its_letter_and_every_kind_its_form() -> None:
    # Fails when a kind is gone, which a peer still writes, or a new one has no form that is kept.
    assert {path.stem for path in FOLDER.glob("*.json")} == set(FORMS)
    assert set(Kind) <= set(FORMS)


# --- from a release to this code


@each_release
def test_letters_of_a_release_are_read_and_verified_today(release: Written) -> None:
    # Fails when a golden letter is not read whole, or when what is signed or hashed comes out
    # otherwise than its release wrote it: a field of a statement that is not null where it is absent.
    read = [Letter.model_validate_json(raw) for raw in release.golden]

    assert {each.said.statement.kind for each in read} == set(release.forms) - {LETTER}
    for letter in read:
        said, body = letter.said, letter.body or {}
        assert said.holds(signer)
        assert said.statement.digest == digest_of(body, letter.salt)
        understood = FORMS[said.statement.kind].model_validate(body)
        assert _known(understood.model_dump(mode="json"), body) == body


@each_release
def test_an_envelope_of_a_release_is_opened_today(release: Written) -> None:
    # Fails when a member of the envelope, the padding or what the sealing is bound to changes.
    now_is(WRITTEN_AT)
    keys = {SEALING.public.kid: SEALING}

    letter = open_envelope(release.envelope, country="XK", keys=keys, signer=signer)

    assert canonical(letter.model_dump(mode="json")) in release.golden


# --- from this code to a release


@each_release
@pytest.mark.parametrize("kind", letters())
def test_letters_of_today_were_read_in_a_release(release: Written, kind: str) -> None:
    # Fails when a letter is written as its released form does not allow: a field it counts on is
    # absent, or a text is longer or otherwise than it knew.
    if kind not in release.forms:
        pytest.skip("a kind that the release did not know")
    letter = letters()[kind]

    _require(release.forms[LETTER], letter.model_dump(mode="json"))
    _require(release.forms[kind], letter.body)


@each_release
def test_the_envelope_of_today_has_the_members_of_a_release(release: Written) -> None:
    # Fails when a member is added or left out: the envelope's receiver takes no other.
    assert _members(sealed()) == _members(release.envelope)


@each_release
def test_a_released_letter_has_only_grown(release: Written) -> None:
    # Fails for any other change of what a letter may say; the sentence tells what to do.
    assert departures(release.forms, NOW) == []


# --- from a later release to this code


@pytest.mark.parametrize("kind", letters())
def test_what_a_later_release_says_besides_is_passed_over(kind: str) -> None:
    # Fails when any part of a letter refuses a field that it does not know.
    letter = letters()[kind]
    words, model = letter.body or {}, FORMS[kind]
    said = letter.said.model_dump(mode="json")
    around = letter.model_dump(mode="json") | {"added_later": 1, "said": said | {"added_later": 1}}

    assert Letter.model_validate(around) == letter
    read = model.model_validate(_grown(words)).model_dump(mode="json")
    assert _known(read, words) == words


def test_a_link_of_a_chain_that_says_more_is_given_back_whole() -> None:
    # Fails when an answer to a roll loses what a later release signed with the rest.
    statement = letters()[Kind.OFFER].said.statement
    later = type(statement)(**statement.model_dump(), added_later="A_CODE")
    signed = SignedStatement.of(later, SIGNING).model_dump(mode="json")
    referral = {"referral_id": str(statement.referral_id), "heard": 1, "statements": [signed]}

    answer = FORMS["given_back"].model_validate(
        {"asked": None, "after": None, "part": 0, "parts": 1, "referrals": [referral]}
    )

    told = answer.model_dump(mode="json")["referrals"][0]["statements"][0]
    assert SignedStatement.model_validate(told).holds(signer)


def _known(read: Any, written: Any) -> Any:
    """Return of what was read the members that were written."""
    if isinstance(written, dict):
        return {name: _known(read[name], each) for name, each in written.items() if name in read}
    if isinstance(written, list):
        return [_known(r, w) for r, w in zip(read, written, strict=True)]
    return read


def _grown(words: Any) -> Any:
    """Return the words with a field more in each of their parts."""
    if isinstance(words, dict):
        return {name: _grown(each) for name, each in words.items()} | {"added_later": "A_CODE"}
    return [_grown(each) for each in words] if isinstance(words, list) else words


def _require(form: Schema, value: Any) -> None:
    Draft202012Validator(dict(form)).validate(value)


def _members(envelope: bytes) -> dict[str, type]:
    return {name: type(each) for name, each in json.loads(envelope).items()}


# --- the guard itself


OFFER, ROLL = NOW[Kind.OFFER], NOW["roll"]


def _with(form: Schema, **changes: Any) -> Schema:
    return {**form, **changes}


def _in_part(form: Schema, part: str, **changes: Any) -> Schema:
    return {**form, "$defs": {**form["$defs"], part: {**form["$defs"][part], **changes}}}


MUTANTS: Mapping[str, tuple[Schema, Schema | None]] = {
    "a kind is gone": (OFFER, None),
    "a field is gone": (
        OFFER,
        _with(OFFER, properties={n: p for n, p in OFFER["properties"].items() if n != "sex"}),
    ),
    "a field is needed that was not written": (
        OFFER,
        _with(
            OFFER,
            properties={**OFFER["properties"], "phase": {"type": "string"}},
            required=[*OFFER["required"], "phase"],
        ),
    ),
    "a field may be absent that was counted on": (
        OFFER,
        _with(OFFER, required=[n for n in OFFER["required"] if n != "sex"]),
    ),
    "what is besides is refused": (OFFER, _with(OFFER, additionalProperties=False)),
    "a part is gone": (ROLL, _with(ROLL, **{"$defs": {}})),
    "a part lost a field": (ROLL, _in_part(ROLL, "Progress", properties={})),
    "a part refuses what is besides": (
        ROLL,
        _in_part(ROLL, "Progress", additionalProperties=False),
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_letter_is_refused_and_told_what_to_do(mutant: str) -> None:
    # Fails when the guard lets one of these through: it would let a developer's change through.
    before, after = MUTANTS[mutant]

    [fault] = departures({"x": before}, {} if after is None else {"x": after})

    assert fault.startswith("x has changed")
    assert fault.endswith(WHAT_TO_DO)


def test_a_letter_and_its_parts_may_grow_by_what_may_be_absent() -> None:
    # Fails when the guard refuses every change: then each field would be a new kind of letter.
    more = {"added": {"type": "string", "default": ""}}
    progress = ROLL["$defs"]["Progress"]["properties"]
    grown = _in_part(ROLL, "Progress", properties={**progress, **more})
    grown = _with(grown, properties={**ROLL["properties"], **more})

    assert departures({"roll": ROLL}, {"roll": grown}) == []


def test_a_release_does_not_read_what_its_form_refuses() -> None:
    # Fails when the older reader believes everything: then nothing here could ever fail.
    words = letters()[Kind.OFFER].body or {}

    with pytest.raises(ValidationError):
        _require(RELEASES[0].forms[Kind.OFFER], words | {"sex": "a sentence"})
