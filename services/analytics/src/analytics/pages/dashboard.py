"""The ministry's dashboard: one page, drawn on the server, in the reader's language."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import RedirectResponse, Response

from analytics import charts, queries
from analytics.domain import (
    PERSONS_ASSISTED,
    PERSONS_AT_RISK_ASSISTED,
    SECONDARY_BENEFICIARIES,
    Cell,
    Figure,
    Share,
    child_share,
    male_share,
)
from analytics.pages.frame import PATH, page, section, table
from analytics.pages.words import number, percent, say, time_of
from common import messages
from common.auth import Principal
from common.codelists import codelist, label
from common.errors import ForbiddenError, TooLargeError, UnauthorizedError, UnavailableError
from common.http.body import read_raw
from common.http.request import runtime_of
from common.runtime import Runtime
from common.unit import Unit

router = APIRouter(include_in_schema=False)

_COUNTED = {
    "ui.persons_assisted": PERSONS_ASSISTED,
    "ui.at_risk": PERSONS_AT_RISK_ASSISTED,
    "ui.secondary": SECONDARY_BENEFICIARIES,
}
"""Who is counted apart from whom, everywhere on the page."""
COOKIE = "prag_dashboard"
_COOKIE_SECONDS = 900
_MAX_FORM = 16 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,8192}")
"""What a token can be made of; nothing else is repeated in a header."""


@router.get(PATH)
async def show_dashboard(request: Request) -> Response:
    """Show the figures to who may read them, and the sign-in form to everybody else."""
    runtime = runtime_of(request)
    language = _language(request)
    token = request.cookies.get(COOKIE)
    if token is None:
        return _sign_in_page(request, HTTPStatus.OK)
    try:
        principal = runtime.tokens.verify(token)
    except UnauthorizedError:
        return _sign_in_page(request, HTTPStatus.UNAUTHORIZED, refusal="unauthorized")
    unit = _unit(request, principal)
    try:
        runtime.authorisation.relations("get_indicator", principal.role)
    except ForbiddenError:
        unit.audit("deny", "request", [], decision="deny")
        await _write(runtime, unit)
        return _sign_in_page(request, HTTPStatus.FORBIDDEN, refusal="forbidden")
    body = await _figures(unit, language, runtime.settings.time_zone)
    unit.audit("read", "indicator", ["dashboard"])
    await _write(runtime, unit)
    return page(body, language=language, country=runtime.settings.country, is_signed_in=True)


@router.post(PATH)
async def sign_in(request: Request) -> Response:
    """Take a token from the form and keep it in a cookie that scripts cannot read.

    A form without a token takes the cookie away: that is how one signs out. What can be no token is
    refused, and leaves no cookie.
    """
    response = RedirectResponse(
        f"{PATH}?language={_language(request)}", status_code=HTTPStatus.SEE_OTHER
    )
    try:
        raw = await read_raw(request, limit=_MAX_FORM)
    except TooLargeError:
        return response
    token = parse_qs(raw.decode("latin-1")).get("token", [""])[0].strip()
    if token and not _TOKEN.fullmatch(token):
        return _sign_in_page(request, HTTPStatus.UNAUTHORIZED, refusal="unauthorized")
    if token:
        response.set_cookie(
            COOKIE,
            token,
            max_age=_COOKIE_SECONDS,
            httponly=True,
            samesite="strict",
            path=PATH,
            secure=request.url.scheme == "https",
        )
    else:
        response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")
    return response


async def _write(runtime: Runtime, unit: Unit) -> None:
    """Write the entry of the look; UnavailableError, and so no figures, where that cannot be."""
    try:
        await runtime.database.write(unit)
    except SQLAlchemyError:
        raise UnavailableError("unavailable") from None


def _unit(request: Request, principal: Principal) -> Unit:
    runtime = runtime_of(request)
    unit = Unit(
        runtime.database,
        runtime.database.keys,
        source=runtime.source,
        operation="view_dashboard",
        trace_id=request.state.trace_id,
    )
    unit.actor = principal.actor
    return unit


def _language(request: Request) -> str:
    wanted = request.query_params.get("language")
    return messages.negotiate(wanted or request.headers.get("accept-language"))


def _sign_in_page(request: Request, status: HTTPStatus, *, refusal: str | None = None) -> Response:
    language = _language(request)
    form = (
        f'<form method="post" action="{PATH}?language={language}">'
        f'<label for="token">{say("ui.token", language)}</label>'
        '<textarea id="token" name="token" rows="5" spellcheck="false" required></textarea>'
        f"<button>{say('ui.sign_in', language)}</button></form>"
    )
    told = f'<p role="alert">{say(refusal, language)}</p>' if refusal else ""
    runtime = runtime_of(request)
    roles = sorted(
        label("actor_roles", role, language)
        for role in runtime.authorisation.entitled("get_indicator")
    )
    who = f'<p class="small">{say("ui.sign_in_for", language, roles=", ".join(roles))}</p>'
    body = section("wide", say("ui.sign_in_with_token", language), told, who, form)
    country = runtime.settings.country
    return page(body, language=language, country=country, status=status)


# --- what is shown


async def _figures(unit: Unit, language: str, time_zone: str) -> str:
    assisted, at_risk, secondary = await queries.get_figures(unit, _COUNTED.values())
    counted = await queries.count_plans(unit)
    plans = {title: queries.by_phase(counted, formula.kinds) for title, formula in _COUNTED.items()}
    overdue = queries.overdue_by_phase(counted)
    referrals = await queries.count_referrals_by_status(unit)

    formula = say("ui.formula", language, version=assisted.formula.version)
    cut = messages.text(
        "ui.data_cut", language, date=time_of(assisted.cut.as_of, language, time_zone)
    )
    apart = say("ui.counted_apart", language)
    return "".join(
        [
            _tile("ui.persons_assisted", assisted, f"{formula} · {escape(cut)}", language),
            _tile("ui.at_risk", at_risk, apart, language),
            _tile("ui.secondary", secondary, apart, language),
            await _by_year(assisted, language),
            _counts(
                "ui.plans",
                "plan_phases",
                "ui.phase",
                {**plans, "ui.overdue": overdue},
                language,
                width="most",
            ),
            _counts(
                "ui.referrals",
                "referral_statuses",
                "ui.status",
                {"ui.referrals": referrals},
                language,
                width="third",
            ),
        ]
    )


def _tile(title: str, figure: Figure, note: str, language: str) -> str:
    total = f'<p class="number">{number(figure.total, language)}</p>'
    return section("third", say(title, language), total, f'<p class="small">{note}</p>')


async def _by_year(figure: Figure, language: str) -> str:
    title = say("ui.persons_assisted_by_year", language)
    if not figure.cells:
        return section("wide", title, f"<p>{say('ui.no_data_yet', language)}</p>")
    by_sex = await asyncio.to_thread(charts.draw_by_sex, figure.cells, language)
    by_age = await asyncio.to_thread(charts.draw_by_age, figure.cells, language)
    shown = [
        ("ui.by_sex", by_sex, _years(figure, charts.SEXES, charts.sex_of, male_share, language)),
        (
            "ui.by_age_group",
            by_age,
            _years(figure, charts.AGES, charts.age_of, child_share, language),
        ),
    ]
    pair = "".join(_chart(name, svg, years, language) for name, svg, years in shown)
    return section("wide", title, f'<div class="pair">{pair}</div>')


def _chart(title: str, svg: str, years: str, language: str) -> str:
    name = say(title, language)
    return f'<figure aria-label="{name}"><h3>{name}</h3>{svg}{years}</figure>'


def _years(
    figure: Figure,
    groups: Sequence[str],
    group_of: Callable[[Cell], str],
    share_of: Callable[[Iterable[Cell]], Share],
    language: str,
) -> str:
    """Return the chart's numbers by year and group, and the share the programme reports."""

    def row(name: str, cells: Sequence[Cell]) -> list[str]:
        counts = Counter[str]()
        for cell in cells:
            counts[group_of(cell)] += cell.value
        numbers = [
            number(count, language) for count in (*(counts[g] for g in groups), counts.total())
        ]
        return [name, *numbers, percent(share_of(cells).percent, language)]

    names = [say(f"ui.{group.lower()}", language) for group in groups]
    reported = say("ui.male" if share_of is male_share else "ui.child", language)
    head = [say("ui.year", language), *names, say("ui.persons", language), f"{reported} %"]
    years = sorted({cell.year for cell in figure.cells})
    return table(
        head,
        [row(str(year), [c for c in figure.cells if c.year == year]) for year in years],
        row(say("ui.total", language), figure.cells),
    )


def _counts(
    title: str,
    name: str,
    first: str,
    columns: Mapping[str, Mapping[str, int]],
    language: str,
    *,
    width: str,
) -> str:
    """Return a table of counts by code, in the order of the code list; nought is left out.

    Whoever stays too long in a phase waits for somebody to act: that number stands out.
    """
    codes = [i for i in codelist(name).items if any(i.code in c for c in columns.values())]
    rows = [
        [
            escape(item.label(language)),
            *(
                _count(column, counts.get(item.code, 0), language)
                for column, counts in columns.items()
            ),
        ]
        for item in codes
    ]
    head = [say(column, language) for column in (first, *columns)]
    shown = table(head, rows) if rows else f"<p>{say('ui.no_data_yet', language)}</p>"
    return section(width, say(title, language), shown)


def _count(column: str, count: int, language: str) -> str:
    shown = number(count, language)
    return f'<strong class="due">{shown}</strong>' if column == "ui.overdue" and count else shown
