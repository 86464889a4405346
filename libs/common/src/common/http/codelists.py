"""The code lists over HTTP: public, cacheable, the same in all four services."""

import hashlib
from datetime import date
from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel, Field, JsonValue
from starlette.requests import Request
from starlette.responses import Response

from common import messages
from common.codelists import Source, codelist, names
from common.errors import BadRequestError, NotFoundError
from common.http.fields import PARAMETER, Fields
from common.schema import ReadModel

_MAX_AGE = 3600
_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "Changes whenever the body does."}}
_LANGUAGE = {
    "Content-Language": {"schema": {"type": "string"}, "description": "Language of the labels."}
}
_UNCHANGED = {
    "description": "Unchanged: the caller's copy, named in If-None-Match, is still good.",
    "headers": _ETAG,
}
_INDEX_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"headers": _ETAG}, 304: _UNCHANGED}
_LIST_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"headers": _ETAG | _LANGUAGE},
    304: _UNCHANGED,
}
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="ETags of the copies the caller has")
]


class CodeListSummary(ReadModel):
    """A list by name; `version` changes when its codes do."""

    codelist: str = Field(examples=["urgency"])
    title: str
    version: str
    size: int = Field(description="Number of codes")


class CodeListIndex(ReadModel):
    """All lists, by name."""

    items: tuple[CodeListSummary, ...]


class CodeItemRead(ReadModel):
    """A code with its label in the language asked for, and with all its labels."""

    code: str
    label: str
    labels: dict[str, str] = Field(description="By BCP 47 tag")
    valid_from: date | None = Field(description="First day on which the code may be used")
    valid_to: date | None = Field(description="Last day on which the code may be used")
    crosswalks: dict[str, str | None] = Field(
        description="Codes of other standards, spelt as published; null where there is none"
    )
    attributes: dict[str, JsonValue] = Field(description="What else the list says of the code")


class CodeListRead(ReadModel):
    """One list with all its codes, also those no longer in use, in the order meant for people."""

    codelist: str
    title: str
    version: str
    language: str
    sources: tuple[Source, ...]
    notes: tuple[str, ...]
    translation_status: str | None = Field(description="Which labels still await review")
    items: tuple[CodeItemRead, ...]
    tables: dict[str, JsonValue] = Field(description="Scales and rules that belong to the list")


INDEX_FIELDS = Fields(CodeListIndex)
LIST_FIELDS = Fields(CodeListRead)

router = APIRouter(prefix="/v1/codelists", tags=["code lists"])


@router.get(
    "",
    response_model=CodeListIndex,
    responses=_INDEX_RESPONSES,
    openapi_extra=INDEX_FIELDS.described_in({}),
)
async def list_codelists(request: Request, if_none_match: IfNoneMatch = None) -> Response:
    """List the code lists with their versions. No token is needed."""
    _refuse_unknown(request, known=frozenset({PARAMETER}))
    wanted = INDEX_FIELDS.wanted(request)
    return INDEX_FIELDS.narrow(_answer(*_index(), if_none_match), wanted)


@router.get(
    "/{name}",
    response_model=CodeListRead,
    responses=_LIST_RESPONSES,
    openapi_extra=LIST_FIELDS.described_in({}),
)
async def get_codelist(
    request: Request,
    name: Annotated[str, Path(examples=["urgency"])],
    language: Annotated[
        str | None, Query(max_length=35, description="BCP 47 tag; else Accept-Language decides")
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read one code list with labels in the language asked for, or the nearest there is.

    A `language` to which none of ours is near is refused, not answered in another one. All labels
    come with it, so one call serves every language. No token is needed. Send the ETag of your copy
    as If-None-Match; the answer is 304 while the copy is good.
    """
    _refuse_unknown(request, known=frozenset({"language", PARAMETER}))
    if name not in names():
        raise NotFoundError
    wanted = LIST_FIELDS.wanted(request)
    spoken = _language(request, language)
    response = LIST_FIELDS.narrow(_answer(*_list(name, spoken), if_none_match), wanted)
    response.headers["Content-Language"] = spoken
    response.headers["Vary"] = "Accept-Language"
    return response


def _language(request: Request, asked: str | None) -> str:
    if asked is None:
        return messages.negotiate(request.headers.get("accept-language"))
    spoken = messages.nearest(asked)
    if spoken is None:
        raise BadRequestError(
            "language.unknown", parameter="language", languages=list(messages.LANGUAGES)
        )
    return spoken


@lru_cache(maxsize=1)
def _index() -> tuple[bytes, str]:
    lists = [codelist(name) for name in names()]
    items = tuple(
        CodeListSummary(
            codelist=each.codelist, title=each.title, version=each.version, size=len(each.items)
        )
        for each in lists
    )
    return _stamped(CodeListIndex(items=items), version="index")


@lru_cache(maxsize=512)
def _list(name: str, language: str) -> tuple[bytes, str]:
    found = codelist(name)
    items = tuple(
        CodeItemRead(label=item.label(language), **item.model_dump()) for item in found.items
    )
    whole = {**found.model_dump(), "language": language, "items": items}
    return _stamped(CodeListRead.model_validate(whole), version=found.version)


def _stamped(body: BaseModel, *, version: str) -> tuple[bytes, str]:
    content = body.model_dump_json().encode()
    return content, f'"{version}-{hashlib.sha256(content).hexdigest()[:32]}"'


def _answer(content: bytes, etag: str, if_none_match: str | None) -> Response:
    headers = {
        "ETag": etag,
        "Cache-Control": f"public, max-age={_MAX_AGE}",
        "X-Content-Type-Options": "nosniff",
    }
    if if_none_match is not None and _names(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)


def _names(if_none_match: str, etag: str) -> bool:
    # Weak comparison, RFC 9110 section 13.1.2: a proxy may have marked our strong tag as weak.
    given = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in given or etag in given


def _refuse_unknown(request: Request, *, known: frozenset[str]) -> None:
    given = [name for name, _ in request.query_params.multi_items()]
    if not set(given) <= known:
        raise BadRequestError("query.unknown", known=sorted(known))
    for name in {name for name in given if given.count(name) > 1}:
        raise BadRequestError("query.invalid", parameter=name)
