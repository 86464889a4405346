"""The frame of a page: its head, its languages, its tables, and what a browser may do with it."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from http import HTTPStatus

from starlette.responses import HTMLResponse

from analytics.pages.words import say
from common import messages

PATH = "/dashboard"

_STYLE = """
:root{--ink:#1d2733;--soft:#55626f;--line:#dfe5ec;--accent:#2f4b7c}
*{box-sizing:border-box}
body{margin:0;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:#f6f8fa}
header{background:var(--accent);color:#fff;padding:1.1rem 0}
header>div,main{max-width:76rem;margin:0 auto;padding:0 1.5rem}
header>div{display:flex;flex-wrap:wrap;gap:.6rem 2rem;align-items:center}
h1{margin:0;font-size:1.3rem}header p{margin:.1rem 0 0;opacity:.9}
nav{flex:1 1 20rem;margin-left:auto;display:flex;flex-wrap:wrap;gap:.2rem .9rem;max-width:30rem}
nav a{color:#fff;font-size:.85rem}nav a[aria-current]{font-weight:700;text-decoration:none}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.4rem;background:#fff;padding:.3rem}
main{display:grid;gap:1.2rem;grid-template-columns:repeat(6,minmax(0,1fr));padding:1.5rem}
section{background:#fff;border:1px solid var(--line);border-radius:.6rem;padding:1.1rem 1.3rem}
.third{grid-column:span 2}.most{grid-column:span 4}.wide{grid-column:1/-1}
h2{margin:0 0 .7rem;font-size:1.05rem;font-weight:600}
h3{margin:0 0 .4rem;font-size:.95rem;font-weight:600;color:var(--soft)}
.number{font-size:2.4rem;font-weight:700;line-height:1.1;margin:0}
.small{color:var(--soft);font-size:.85rem;margin:.4rem 0 0}
.pair{display:grid;gap:1.5rem;grid-template-columns:repeat(2,minmax(0,1fr))}
figure{margin:0}svg{display:block;margin-bottom:.7rem;width:100%;height:auto;max-width:34rem}
.scroll{overflow-x:auto;background:linear-gradient(270deg,#fff 40%,#fff0) 100%/2.5rem 100% no-repeat
local,linear-gradient(270deg,#0003,#0000) 100%/.8rem 100% no-repeat}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
td,th{padding:.3rem .4rem;border-bottom:1px solid var(--line);text-align:right}
td:first-child,th:first-child{text-align:left}
th{color:var(--soft);font-size:.85rem;font-weight:600;line-height:1.25;vertical-align:bottom}
.most th:first-child{width:36%}.most+.third table{max-width:34rem}.most+.third th:first-child{width:80%}
tfoot td{font-weight:700;border-bottom:0}
.due{color:#b3261e}
form{display:grid;gap:.6rem;max-width:44rem}header form{display:block}
textarea,button{font:inherit;padding:.5rem;border-radius:.4rem;border:1px solid #8b98a6}
button{background:var(--accent);color:#fff;border-color:var(--accent);justify-self:start;
padding:.4rem 1.1rem;cursor:pointer}header button{border-color:#fff;font-size:.85rem}
@media(max-width:70rem){.most,.most+.third{grid-column:1/-1}.pair{grid-template-columns:minmax(0,1fr)}}
@media(min-width:58.01rem) and (max-width:70rem){figure{display:grid;gap:0 1.5rem;align-items:end;
grid-template-columns:minmax(0,2fr) minmax(0,3fr)}h3{grid-column:1/-1}}
@media(max-width:58rem){.third{grid-column:1/-1}}
@media(max-width:40rem){header>div,main{padding-left:.8rem;padding-right:.8rem}
section{padding:.9rem}td,th{padding:.3rem .25rem;font-size:.8rem}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
}


def page(
    body: str,
    *,
    language: str,
    country: str,
    status: HTTPStatus = HTTPStatus.OK,
    is_signed_in: bool = False,
) -> HTMLResponse:
    """Return a whole page around `body`, which is HTML."""
    title = f"{say('ui.title', language)} · {say('ui.dashboard', language)}"
    about = f"ui.country.{country}"
    subtitle = say(about if messages.has(about) else "ui.tagline", language)
    links = "".join(_link(tag, is_current=tag == language) for tag in messages.LANGUAGES)
    sign_out = (
        f'<form method="post" action="{PATH}?language={language}">'
        f"<button>{say('ui.sign_out', language)}</button></form>"
        if is_signed_in
        else ""
    )
    content = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
        f'<a class="skip" href="#content">{say("ui.skip_to_content", language)}</a>'
        f"<header><div><div><h1>{title}</h1><p>{subtitle}</p></div>"
        f'<nav aria-label="{say("ui.language", language)}">{links}</nav>{sign_out}</div></header>'
        f'<main id="content">{body}</main></body></html>'
    )
    return HTMLResponse(content, status_code=status, headers=_HEADERS)


def section(width: str, title: str, *parts: str) -> str:
    """Return a box of the page: a `third` of a row, `most` of it or the `wide` row. All parts are HTML."""
    return f'<section class="{width}"><h2>{title}</h2>{"".join(parts)}</section>'


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str] | None = None
) -> str:
    """Return a table of HTML cells; the first column names, the others count.

    Where its longest words need more than the box has, the table moves inside the box.
    """
    lines = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    heads = "".join(f'<th scope="col">{name}</th>' for name in head)
    foot = f"<tfoot><tr>{_cells(total)}</tr></tfoot>" if total else ""
    shown = f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody>{foot}</table>"
    return f'<div class="scroll">{shown}</div>'


def _cells(row: Sequence[str]) -> str:
    return "".join(f"<td>{text}</td>" for text in row)


def _link(tag: str, *, is_current: bool) -> str:
    name = escape(messages.text(f"ui.language.{tag}", tag))
    current = ' aria-current="true"' if is_current else ""
    return f'<a href="{PATH}?language={tag}" lang="{tag}"{current}>{name}</a>'
