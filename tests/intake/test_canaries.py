"""What a thief of the disk, or a reader of the bus, finds of a person: nothing."""

import pytest

from common.db.base import unit_of
from intake.models import Case
from tests.intake.bodies import CASE, PERSON, consent, decision, notice, opened, version
from tests.kit import Kit, if_match

CANARIES = [
    "Милица",
    "Đorđević",
    "Blerta Hoxhë",
    "Țăndărică",
    "1994-03-07",
    "Ѓорче",
    "skrivena",
    "381641112223",
    "P77788899",
    "Тајна белешка",
    "Shënim i fshehtë",
    "Бележка за отказ",
    "PRIZREN",
]


@pytest.mark.row("F18")
async def test_no_file_on_the_disk_holds_what_is_sealed(kit: Kit) -> None:
    """Seeded: store any text of these as it came; the thief of a disk reads it."""
    caller = kit.caller("SOCIAL_WORKER")
    desk = kit.caller("IDENTIFICATION_OFFICER")
    note = "Тајна белешка"
    reported = await caller.post(
        "/v1/notices",
        json=notice(
            country="XK",
            place_code="PRIZREN",
            place_text="Shënim i fshehtë",
            note=note,
            contact=note,
        ),
    )
    await caller.post(
        "/v1/notices/bulk",
        json={"items": [{"client_reference": "a", "notice": notice(note=note)}]},
    )
    await desk.post(
        f"{reported.headers['Location']}/triage",
        json={"decision": "REJECT", "reason": "OTHER", "note": "Бележка за отказ"},
        headers=if_match(reported),
    )
    await caller.get(reported.headers["Location"])
    await opened(caller, note=note, birth_date="1994-03-07")
    await caller.post(f"/v1/cases/{CASE}/consents", json=consent())
    url = f"/v1/cases/{CASE}/identity"
    await caller.put(url, json=PERSON, headers=await version(caller))
    await caller.get(f"{url}?purpose=ASSISTANCE")
    await caller.post(
        f"/v1/cases/{CASE}/identification",
        json=decision("SCREENING", note=note),
        headers=await version(caller),
    )
    for event in await kit.events():
        assert not found_in(event.to_bytes()), event.type

    stored = kit.stored_bytes()
    assert found_in(stored) == []
    assert found_in(repr(await kit.audit()).encode()) == []

    # The scanner is no good if it does not find what was planted.
    planted = unit_of(kit.runtime.database, source="/RS/intake", operation="test")
    planted.update(Case, {"id": CASE}, worker="Милица")
    await kit.runtime.database.write(planted)
    assert found_in(kit.stored_bytes()) == ["Милица"]


def found_in(content: bytes) -> list[str]:
    """Return the canaries that stand in `content` in any encoding a program might have used."""
    encodings = ("utf-8", "utf-16-le", "utf-16-be")
    forms = {
        canary: [canary.encode(e) for e in encodings]
        + [canary.encode("unicode_escape"), canary.encode("utf-8").hex().encode()]
        for canary in CANARIES
    }
    return [canary for canary, each in forms.items() if any(form in content for form in each)]
