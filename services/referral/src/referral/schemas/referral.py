from datetime import date
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from common.codelists import code_of
from common.schema import Instant, LongText, NewId, ReadModel, StrictModel, coded, examples
from referral.domain.referral import ReceiverView, Side, keeps_only_the_fact
from referral.schemas.directory import Language, ServiceType

Urgency = Annotated[str, code_of("urgency")]
Purpose = Annotated[str, code_of("purposes")]
DataGroup = Annotated[str, code_of("data_groups")]
TrmStage = Annotated[str, code_of("trm_stages")]
DeclineReason = Annotated[str, code_of("decline_reasons")]
CancelReason = Annotated[str, code_of("cancel_reasons")]
ReturnReason = Annotated[str, code_of("return_reasons")]

_SENSITIVE: dict[str, Any] = {"x-data-class": "P1"}
"""Free text about a person: sealed under the case's key where it is stored."""


class ReferralCreate(StrictModel):
    """A draft. It names a listed service or, when the receiver shall choose, a type of service."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {
                "id": "3e0a5f8d-61b4-4a3e-9d27-8c5b4a3f2e05",
                "case_id": "9a4c1e7b-0d83-4f6a-b5c2-7e6d5c4b3a06",
                "receiving_organisation_id": "0f9d6a34-7c1b-4c58-8f21-6b4c2f0f7e02",
                "service_id": "c7d3a1b2-9e40-4b7f-8a6d-1f2e3d4c5b03",
                "urgency": "CRISIS",
                "purpose": "PROTECTION",
                "data_groups": ["IDENTITY", "CONTACT", "HEALTH"],
                "languages": ["sq"],
                "trm_stage": "SOP2",
                "note": "Arrives tonight with the border police; needs a doctor in the morning.",
            },
            {
                "id": "7b2d9c41-8f05-4e6b-a1d3-5f4e3d2c1b07",
                "case_id": "9a4c1e7b-0d83-4f6a-b5c2-7e6d5c4b3a06",
                "receiving_organisation_id": "5b1c7d0e-3a52-4f0e-9a55-0d7a1f6f2c11",
                "service_type": "COUNSELLING_INFORMATION",
                "urgency": "NORMAL",
                "purpose": "ASSISTANCE",
                "data_groups": ["IDENTITY"],
            },
        )
    )

    id: NewId
    case_id: UUID
    receiving_organisation_id: UUID
    service_id: UUID | None = None
    service_type: ServiceType | None = Field(
        default=None, description="Needed without `service_id`; with it, the service's own type."
    )
    urgency: Urgency
    purpose: Purpose
    data_groups: list[DataGroup] = Field(
        min_length=1, max_length=10, description="What the receiver shall learn; consent covers it."
    )
    languages: list[Language] = Field(
        default=[], max_length=10, description="Languages in which the person can be helped."
    )
    trm_stage: TrmStage | None = None
    note: LongText | None = Field(default=None, json_schema_extra=_SENSITIVE)


class ReferralReturn(StrictModel):
    """Ask the sender for more before deciding."""

    model_config = ConfigDict(
        json_schema_extra=examples(
            {"reason": "NEEDS_UNCLEAR", "note": "Does she take any medicine regularly?"}
        )
    )

    reason: ReturnReason
    note: LongText | None = Field(default=None, json_schema_extra=_SENSITIVE)


class ReferralResubmit(StrictModel):
    """Send a returned referral again; a new note takes the place of the old one."""

    model_config = ConfigDict(
        json_schema_extra=examples({"note": "Insulin twice a day, supply for three days."})
    )

    note: LongText | None = Field(default=None, json_schema_extra=_SENSITIVE)


class ReferralDecline(StrictModel):
    model_config = ConfigDict(
        json_schema_extra=examples(
            {"reason": "NO_CAPACITY"},
            {
                "reason": "NOT_ELIGIBLE",
                "suggested_service_id": "d81f4c6e-5b2a-4f93-b7c0-2a9e8d7c6b04",
            },
        )
    )

    reason: DeclineReason
    suggested_service_id: UUID | None = Field(
        default=None, description="A service of the directory that may help instead"
    )
    note: LongText | None = Field(default=None, json_schema_extra=_SENSITIVE)


class ReferralCancel(StrictModel):
    model_config = ConfigDict(json_schema_extra=examples({"reason": "CONSENT_WITHDRAWN"}))

    reason: CancelReason
    note: LongText | None = Field(default=None, json_schema_extra=_SENSITIVE)


class Direction(StrEnum):
    """Whether your organisation sent a referral or received it."""

    SENT = "SENT"
    RECEIVED = "RECEIVED"

    @property
    def side(self) -> Side:
        return Side.SENDER if self is Direction.SENT else Side.RECEIVER


_NOBODY: dict[str, Any] = {"sex": None, "age_group": None, "languages": []}
"""What is left of the person to those who only know that there was a referral."""


def _left_of_person(row: Any, view: ReceiverView) -> dict[str, Any]:  # noqa: ANN401  a referral's row
    is_withdrawn = row.consent_withdrawn_on is not None
    is_only_fact = keeps_only_the_fact(row.status, is_withdrawn=is_withdrawn)
    return _NOBODY if is_only_fact or view is ReceiverView.FACT else {}


class ReferralPreview(ReadModel):
    """What the receiver sees before it has acknowledged: no case, no note, no identity.

    Its staff in a role which may not know the data group IDENTITY see no more at any time.

    `sex` and `age_group` are what was sent, whatever has become known since. Once the referral was
    called off or consent withdrawn, nothing of the person is left: both are null and `languages` is
    empty: the receiver keeps only the fact and the date. So does a sender that lost the case with a
    withdrawn consent; only such a one sees `submitted_at` null, of what was never sent.
    """

    id: UUID
    version: int
    status: str = coded("referral_statuses")
    sending_organisation_id: UUID
    receiving_organisation_id: UUID
    service_id: UUID | None
    service_type: str = coded("service_types")
    urgency: str = coded("urgency")
    sex: str | None = coded("sex_gender")
    age_group: str | None = coded("age_bands")
    languages: list[str] = coded("languages")
    submitted_at: Instant | None
    respond_by: Instant | None
    consent_withdrawn_on: date | None

    @classmethod
    def of(cls, row: Any, view: ReceiverView) -> "ReferralPreview":  # noqa: ANN401  a referral's row
        shown = cls.model_validate(row)
        return shown.model_copy(update=_left_of_person(row, view))


class ReferralItem(ReadModel):
    """A referral in a list and in the answer to a step: codes only, never a free text.

    To whom `GET` shows the preview it tells the same: `case_id`, `reason` and `suggested_service_id`
    are null. `submitted_at` and `respond_by` are null before the first submission.
    """

    id: UUID
    version: int
    status: str = coded("referral_statuses")
    case_id: UUID | None
    sending_organisation_id: UUID
    receiving_organisation_id: UUID
    service_id: UUID | None
    service_type: str = coded("service_types")
    urgency: str = coded("urgency")
    sex: str | None = coded("sex_gender")
    age_group: str | None = coded("age_bands")
    languages: list[str] = coded("languages")
    reason: str | None = Field(
        description="Of the last step: a code of the list that the rules name for it "
        "(`GET /v1/referral-rules`)."
    )
    suggested_service_id: UUID | None
    submitted_at: Instant | None
    respond_by: Instant | None
    consent_withdrawn_on: date | None

    @classmethod
    def of(cls, row: Any, view: ReceiverView) -> "ReferralItem":  # noqa: ANN401  a referral's row
        shown = cls.model_validate(row)
        if view is ReceiverView.FULL:
            return shown
        return shown.model_copy(update={**_NOT_IN_PREVIEW, **_left_of_person(row, view)})


_NOT_IN_PREVIEW = dict.fromkeys(ReferralItem.model_fields.keys() - ReferralPreview.model_fields)
"""What only those find in a list who see the referral whole."""


class ReferralRead(ReadModel):
    """A referral as its sender, and its receiver after acknowledgement, see it.

    `reason` is that of the last step. `note` and `reason_note` are null where nothing was written,
    and for a role which may not know every data group.
    """

    id: UUID
    version: int
    status: str = coded("referral_statuses")
    case_id: UUID
    sending_organisation_id: UUID
    receiving_organisation_id: UUID
    service_id: UUID | None
    service_type: str = coded("service_types")
    urgency: str = coded("urgency")
    sex: str | None = coded("sex_gender")
    age_group: str | None = coded("age_bands")
    purpose: str = coded("purposes")
    data_groups: list[str] = coded("data_groups")
    languages: list[str] = coded("languages")
    trm_stage: str | None = coded("trm_stages")
    note: str | None = Field(json_schema_extra=_SENSITIVE)
    reason: str | None = Field(
        description="Of the last step: a code of the list that the rules name for it "
        "(`GET /v1/referral-rules`)."
    )
    reason_note: str | None = Field(json_schema_extra=_SENSITIVE)
    suggested_service_id: UUID | None
    recorded_at: Instant
    submitted_at: Instant | None
    respond_by: Instant | None
    consent_withdrawn_on: date | None = Field(
        description="From this day on no consent carries it, and its receiver sees the preview."
    )

    @classmethod
    def of(cls, row: Any, *, note: str | None, reason_note: str | None) -> "ReferralRead":  # noqa: ANN401
        columns = {name: getattr(row, name) for name in cls.model_fields}
        return cls.model_validate({**columns, "note": note, "reason_note": reason_note})
