"""What a problem may carry beside the fields every problem has: each member with its meaning.

Members are codes, names and numbers from closed sets, public knowledge; never what was sent.
"""

from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_NUMBER: dict[str, Any] = {"type": "integer"}
_PREPARATION = ["RISK_ASSESSMENT", "NEEDS_ASSESSMENT", "GUARDIAN", "TRANSFER_BASIS"]


def _is(schema: dict[str, Any], description: str, *, codelist: str | None = None) -> dict[str, Any]:
    listed = {} if codelist is None else {"x-codelist": codelist}
    return {**schema, "description": description, **listed}


FIELD_MEMBERS: dict[str, dict[str, Any]] = {
    "known": _is(_TEXTS, "The names that are known there, of fields or of query parameters."),
    "choices": _is(_TEXTS, "The values allowed."),
    "codelist": _is(_TEXT, "The code list the value must be of: `GET /v1/codelists/{codelist}`."),
    "parameter": _is(_TEXT, "The parameter or header that is at fault, by its name in this file."),
}
"""Those that one entry of `errors` may have as well."""

MEMBERS: dict[str, dict[str, Any]] = {
    **FIELD_MEMBERS,
    "case_version": _is(
        _NUMBER,
        "The newest version of the case this service has heard of. Below the ETag of your own last "
        "change of the case the news is still on its way: try again.",
    ),
    "data_groups": _is(
        _TEXTS,
        "Codes of `data_groups`: what the consent must cover, or where it falls short.",
        codelist="data_groups",
    ),
    "direction": _is(
        {**_TEXT, "enum": ["FORWARD", "SKIP", "BACK"]},
        "The direction of the phase change, for which the reason does not fit.",
    ),
    "entitled": _is(
        _TEXTS,
        "Who may: codes of `actor_roles` where a role is refused, of `deciding_authorities` where "
        "an authority is.",
    ),
    "form": _is(_TEXT, "The form the value must have, as an example or a template."),
    "given_by": _is(
        _TEXTS, "Who must give the consent: codes of `consent_givers`.", codelist="consent_givers"
    ),
    "grounds": _is(
        _TEXTS,
        "Codes of `eligibility_grounds`: why the service does not take this person.",
        codelist="eligibility_grounds",
    ),
    "identification_status": _is(
        _TEXT, "The status of identification the case has now.", codelist="identification_status"
    ),
    "lacking": _is(
        {"type": "array", "items": {"type": "string", "enum": _PREPARATION}},
        "What the referral to another country lacks before it may be sent.",
    ),
    "languages": _is(_TEXTS, "The BCP 47 tags that are answered."),
    "legal": _is(_TEXTS, "What is possible instead: statuses, phases or steps."),
    "limit": _is(_NUMBER, "The most that is taken: bytes of a body, or levels of nesting."),
    "missing": _is(_TEXTS, "Who must take part in the decision and is not named."),
    "notice_status": _is(_TEXT, "The status the notice has now.", codelist="notice_statuses"),
    "parties": _is(
        _TEXTS,
        "Codes of `agreement_parties` that must sign and are not named.",
        codelist="agreement_parties",
    ),
    "present": _is(
        _TEXTS,
        "Codes of `deciding_authorities` that decide in this country.",
        codelist="deciding_authorities",
    ),
    "purpose": _is(
        {"type": ["string", "null"]},
        "The code of `purposes` that the consent must cover; null where none.",
        codelist="purposes",
    ),
    "scope": _is(_TEXT, "The code of `consent_scopes` that is meant.", codelist="consent_scopes"),
    "side": _is(
        {**_TEXT, "enum": ["SENDER", "RECEIVER"]},
        "The side of the referral that may do this.",
    ),
}
"""Every member the product raises; tests/common/test_problem_members.py holds it to that."""
