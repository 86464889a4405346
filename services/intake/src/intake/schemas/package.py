"""What one country's register tells another's of a person: the document inside a sealed package (F39).

Codes travel as text. One the reader has no such code for is set aside by name and holds nothing up;
so two countries, and two releases, need not have the same lists.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from common.codelists import all_codes
from common.schema import LongText, ShortText
from intake.domain.age import AgeGroup
from intake.domain.case import KIND_AFTER, BeneficiaryKind
from intake.domain.identification import IdentificationStatus
from intake.domain.names import Script
from intake.schemas.fields import FOREIGN_CODE, LANGUAGE, P0, P1, Margin, PartialDate, Years
from intake.schemas.identity import DocumentKind, DocumentNumber

FOREIGN = "FOREIGN"
"""What stands for a code that is not even in the form of one."""

Told = Annotated[str, Field(max_length=100), P1]
"""A code as the other country writes it: of its form nothing is certain, so it counts as a text."""
Many = Field(default=(), max_length=50)
Unmapped = dict[str, list[str]]
"""Field → the codes in it that this register has no counterpart for."""

_CODE = re.compile(FOREIGN_CODE)


class _Sent(BaseModel):
    # What a later release adds is passed over.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class SentName(_Sent):
    value: Annotated[ShortText, P0]
    script: Told = Script.ZYYY


class SentDocument(_Sent):
    kind: Told
    number: Annotated[DocumentNumber, P0]
    country: Told


class SentIdentity(_Sent):
    """Who she is, as far as the consented data groups open it: what is closed is absent."""

    given_name: SentName | None = None
    family_name: SentName | None = None
    other_names: tuple[SentName, ...] = Many
    birth_date: Annotated[PartialDate | None, P0] = None
    birth_place: Annotated[ShortText | None, P0] = None
    address: Annotated[LongText | None, P0] = None
    phones: Annotated[tuple[ShortText, ...], P0] = Many
    email: Annotated[str | None, Field(max_length=254), P0] = None
    documents: tuple[SentDocument, ...] = Many


class Package(_Sent):
    """The document. `v` rises when something is added; nothing is ever taken out or renamed.

    Sex and age band go with every package, as the offer told them. Of IDENTITY are citizenships,
    languages and the estimate of the age; of EXPLOITATION the kind, the status and the types.
    `estimated_on` is the day on which she looked `estimated_age` years old.
    """

    v: int = Field(default=1, ge=1)
    sex: Told
    age_group: Told | None = None
    beneficiary_kind: Told | None = None
    identification_status: Told | None = None
    citizenships: tuple[Told, ...] = Many
    languages: tuple[Told, ...] = Many
    estimated_age: Years | None = None
    estimated_age_margin: Margin | None = None
    estimated_on: date | None = None
    exploitation_types: tuple[Told, ...] = Many
    identity: SentIdentity | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A package in the codes of this register, and what of it has none."""

    facts: dict[str, Any]
    """Columns of a case."""
    age_group: AgeGroup | None
    exploitation_types: list[str]
    identity: dict[str, Any] | None
    """Fields of an identity in the form in which they are stored."""
    unmapped: Unmapped


def receive(package: Package) -> Received:
    """Return the package in our codes.

    A status that is unknown or was not told counts as REPORTED, a kind by the status.
    """
    aside: Unmapped = {}
    status = _one(aside, "identification_status", package.identification_status, _STATUSES)
    own_status = IdentificationStatus(status or IdentificationStatus.REPORTED)
    kind = _one(aside, "beneficiary_kind", package.beneficiary_kind, _KINDS)
    languages = {told for told in package.languages if LANGUAGE.fullmatch(told)}
    facts = {
        "sex": _one(aside, "sex", package.sex, all_codes("sex_gender")) or "UNKNOWN",
        "identification_status": own_status,
        "beneficiary_kind": BeneficiaryKind(
            kind or KIND_AFTER[own_status] or BeneficiaryKind.AT_RISK
        ),
        "citizenships": _many(
            aside, "citizenships", package.citizenships, all_codes("iso_countries")
        ),
        "languages": _many(aside, "languages", package.languages, languages),
        "estimated_age": package.estimated_age,
        "estimated_age_margin": package.estimated_age_margin,
        "estimated_on": None if package.estimated_age is None else package.estimated_on,
    }
    types = all_codes("exploitation_types")
    band = _one(aside, "age_group", package.age_group, _BANDS)
    return Received(
        facts=facts,
        age_group=None if band is None else AgeGroup(band),
        exploitation_types=_many(aside, "exploitation_types", package.exploitation_types, types),
        identity=None if package.identity is None else _identity(aside, package.identity),
        unmapped=aside,
    )


def _identity(aside: Unmapped, sent: SentIdentity) -> dict[str, Any]:
    for document in sent.documents:
        _one(aside, "documents.country", document.country, all_codes("iso_countries"))
    fields = sent.model_dump(mode="json")
    for name in (fields["given_name"], fields["family_name"], *fields["other_names"]):
        if name is not None:
            name["script"] = _one(aside, "names.script", name["script"], _SCRIPTS) or Script.ZYYY
    for document in fields["documents"]:
        kind = _one(aside, "documents.kind", document["kind"], _DOCUMENTS)
        document["kind"] = kind or DocumentKind.OTHER
    return fields


def _one(aside: Unmapped, field: str, told: str | None, known: Iterable[str]) -> str | None:
    return None if told is None else next(iter(_many(aside, field, (told,), known)), None)


def _many(aside: Unmapped, field: str, told: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return those we know, each once; name the others in `aside`, never as free text."""
    ours, known = [], frozenset(known)
    for code in dict.fromkeys(told):
        if code in known:
            ours.append(code)
            continue
        named = aside.setdefault(field, [])
        shown = code if _CODE.fullmatch(code) else FOREIGN
        if shown not in named:
            named.append(shown)
    return ours


_BANDS = frozenset(AgeGroup)
_STATUSES = frozenset(IdentificationStatus)
_KINDS = frozenset(BeneficiaryKind)
_SCRIPTS = frozenset(Script)
_DOCUMENTS = frozenset(DocumentKind)
