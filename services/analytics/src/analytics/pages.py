"""The ministry's dashboard: one page, drawn on the server, in the reader's language."""

import asyncio
from html import escape
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from analytics import charts, queries
from analytics.domain import (
    PERSONS_ASSISTED,
    PERSONS_AT_RISK_ASSISTED,
    SECONDARY_BENEFICIARIES,
    Figure,
    totals_by,
)
from common import codelists, messages
from common.auth import Principal
from common.errors import ForbiddenError, UnauthorizedError
from common.http.request import runtime_of
from common.unit import Unit

router = APIRouter(include_in_schema=False)

COOKIE = "prag_dashboard"
_MAX_FORM = 16 * 1024
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
}
_STYLE = """
:root{--ink:#1d2733;--soft:#5d6b7a;--line:#dfe5ec;--accent:#2f4b7c}
*{box-sizing:border-box}body{margin:0;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:#f6f8fa}
header{background:var(--accent);color:#fff;padding:1.2rem 2rem}header h1{margin:0;font-size:1.3rem}
header p{margin:.2rem 0 0;opacity:.85}nav a{color:#fff;margin-right:.8rem;font-size:.85rem}
main{max-width:76rem;margin:1.5rem auto;padding:0 1.5rem;display:grid;gap:1.2rem;
grid-template-columns:repeat(auto-fit,minmax(20rem,1fr))}
section{background:#fff;border:1px solid var(--line);border-radius:.6rem;padding:1.1rem 1.3rem}
section.wide{grid-column:1/-1}h2{margin:0 0 .6rem;font-size:1rem;color:var(--soft);font-weight:600}
.figure{font-size:2.4rem;font-weight:700;line-height:1.1}.small{color:var(--soft);font-size:.85rem}
table{border-collapse:collapse;width:100%}td,th{padding:.3rem .4rem;border-bottom:1px solid var(--line);text-align:left}
td:last-child,th:last-child{text-align:right}svg{max-width:100%;height:auto}
form{display:grid;gap:.6rem}textarea,button{font:inherit;padding:.5rem;border-radius:.4rem;border:1px solid var(--line)}
button{background:var(--accent);color:#fff;border:0;justify-self:start;padding:.5rem 1.2rem}
"""


@router.get("/dashboard")
async def show_dashboard(request: Request) -> Response:
    language = _language(request)
    token = request.cookies.get(COOKIE)
    if token is None:
        return _page(language, _sign_in(language))
    try:
        principal = _who(request, token)
    except (UnauthorizedError, ForbiddenError):
        return _page(language, _sign_in(language, refused=True), status=401)
    runtime = runtime_of(request)
    unit = Unit(
        runtime.database,
        runtime.database.keys,
        source=runtime.source,
        operation="view_dashboard",
        trace_id=request.state.trace_id,
    )
    unit.actor = principal.actor
    body = await _dashboard(unit, language)
    unit.audit("read", "indicator", ["dashboard"])
    await runtime.database.write(unit)
    return _page(language, body, country=runtime.settings.country)


@router.post("/dashboard")
async def sign_in(request: Request) -> Response:
    """Take a token from the form and keep it in a cookie that scripts cannot read."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MAX_FORM:
            return RedirectResponse("/dashboard", status_code=303)
    token = parse_qs(raw.decode("latin-1")).get("token", [""])[0].strip()
    response = RedirectResponse("/dashboard", status_code=303)
    secure = request.url.scheme == "https"
    if token:
        response.set_cookie(
            COOKIE,
            token,
            max_age=900,
            httponly=True,
            samesite="strict",
            path="/dashboard",
            secure=secure,
        )
    else:
        response.delete_cookie(COOKIE, path="/dashboard")
    return response


def _who(request: Request, token: str) -> Principal:
    runtime = runtime_of(request)
    principal = runtime.tokens.verify(token)
    runtime.authorisation.relations("get_indicator", principal.role)
    return principal


def _language(request: Request) -> str:
    wanted = request.query_params.get("language")
    return messages.negotiate(wanted or request.headers.get("accept-language"))


async def _dashboard(unit: Unit, language: str) -> str:
    assisted = await queries.get_figure(unit, PERSONS_ASSISTED)
    at_risk = await queries.get_figure(unit, PERSONS_AT_RISK_ASSISTED)
    secondary = await queries.get_figure(unit, SECONDARY_BENEFICIARIES)
    phases = await queries.count_plans_by_phase(unit)
    referrals = await queries.count_referrals_by_status(unit)

    def word(key: str) -> str:
        return escape(messages.text(f"ui.{key}", language))

    apart = f'<p class="small">{word("counted_apart")}</p>'
    tiles = [
        _tile(word("persons_assisted"), assisted.total, _provenance(assisted, language)),
        _tile(word("at_risk"), at_risk.total, apart),
        _tile(word("secondary"), secondary.total, apart),
    ]
    if assisted.cells:
        by_sex = await asyncio.to_thread(charts.draw_by_sex, assisted.cells, language)
        by_age = await asyncio.to_thread(charts.draw_by_age, assisted.cells, language)
    else:
        by_sex = by_age = f"<p>{word('no_data_yet')}</p>"
    title = word("persons_assisted_by_year")
    years = "".join(
        f"<tr><td>{year}</td><td>{value}</td></tr>"
        for year, value in totals_by(assisted.cells, "year").items()
    )
    return "".join(
        [
            *tiles,
            f"<section><h2>{title}: {word('by_sex')}</h2>{by_sex}</section>",
            f"<section><h2>{title}: {word('by_age_group')}</h2>{by_age}</section>",
            f"<section><h2>{title}</h2><table><tr><th>{word('year')}</th><th>{word('persons')}</th></tr>"
            f"{years}</table></section>",
            _counts("plan_phases", word("service.reintegration"), phases, language),
            _counts("referral_statuses", word("service.referral"), referrals, language),
        ]
    )


def _tile(title: str, number: int, note: str) -> str:
    return f'<section><h2>{title}</h2><div class="figure">{number}</div>{note}</section>'


def _provenance(figure: Figure, language: str) -> str:
    formula = messages.text("ui.formula", language, version=figure.formula.version)
    cut = messages.text("ui.data_cut", language, date=f"{figure.cut.as_of:%Y-%m-%d %H:%M} UTC")
    return f'<p class="small">{escape(formula)} · {escape(cut)}</p>'


def _counts(codelist: str, title: str, counts: dict[str, int], language: str) -> str:
    rows = "".join(
        f"<tr><td>{escape(codelists.label(codelist, code, language))}</td><td>{number}</td></tr>"
        for code, number in counts.items()
    )
    return f"<section><h2>{title}</h2><table>{rows}</table></section>"


def _sign_in(language: str, *, refused: bool = False) -> str:
    word = {
        key: escape(messages.text(f"ui.{key}", language))
        for key in ("sign_in_with_token", "token", "sign_in")
    }
    refusal = f"<p>{escape(messages.text('unauthorized', language))}</p>" if refused else ""
    return (
        f'<section class="wide"><h2>{word["sign_in_with_token"]}</h2>{refusal}<form method="post" action="/dashboard">'
        f'<label for="token">{word["token"]}</label><textarea id="token" name="token" rows="5" required></textarea>'
        f"<button>{word['sign_in']}</button></form></section>"
    )


def _page(
    language: str, body: str, *, status: int = 200, country: str | None = None
) -> HTMLResponse:
    title = escape(messages.text("ui.dashboard", language))
    about = f"ui.country.{country}"
    subtitle = escape(messages.text(about if messages.has(about) else "ui.tagline", language))
    links = "".join(
        f'<a href="/dashboard?language={tag}" lang="{tag}">{escape(messages.text(f"ui.language.{tag}", language))}</a>'
        for tag in messages.LANGUAGES
    )
    page = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>Prag · {title}</title>'
        f"<style>{_STYLE}</style></head><body><header><h1>Prag · {title}</h1><p>{subtitle}</p><nav>{links}</nav></header>"
        f"<main>{body}</main></body></html>"
    )
    return HTMLResponse(page, status_code=status, headers=_HEADERS)
