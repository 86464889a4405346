"""What a problem's `type` leads to: the sentence of its code, for whoever opens the address."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from common import messages
from common.errors import NotFoundError

router = APIRouter(include_in_schema=False)


@router.get("/problems/{code}")
async def show_problem(code: str, request: Request) -> Response:
    """Tell what a code means, in the caller's language; `…` stands where a problem has its member."""
    if code not in codes():
        raise NotFoundError
    language = messages.negotiate(request.headers.get("accept-language"))
    return JSONResponse(
        {"type": f"/problems/{code}", "code": code, "detail": messages.text(code, language)},
        headers={"Content-Language": language, "X-Content-Type-Options": "nosniff"},
    )


def codes() -> dict[str, str]:
    """Return the codes of problems and of fields with their English sentences, by code."""
    sentences = messages.catalogue(messages.DEFAULT)
    return {
        code: sentence
        for code, sentence in sorted(sentences.items())
        if not code.startswith(("title.", "ui."))
    }
