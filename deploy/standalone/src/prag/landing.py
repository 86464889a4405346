"""The page at `/`: what runs here, whether it is well, where its documents are. Shows no data."""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from html import escape

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from common import messages
from prag.manifest import SERVICES
from prag.probe import is_ready

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2530;--soft:#5b6876;--line:#d9e0e8;--paper:#f5f7fa;--card:#fff;
--accent:#2f4b7c;--good:#1d7a4c;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e7ecf2;--soft:#9fb0c1;--line:#33404e;--paper:#141a21;
--card:#1c242d;--accent:#8fb0ea;--good:#58c48d;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
main,header,footer{max-width:68rem;margin:0 auto;padding:0 1.5rem}
header{padding-top:3rem}h1{margin:0;font-size:2.6rem;letter-spacing:-.02em}
header p{margin:.3rem 0 0;color:var(--soft)}header .country{color:var(--ink);font-weight:600}
a{color:var(--accent)}a:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.skip{position:absolute;left:-100rem}.skip:focus{left:1rem;top:1rem}
.dashboard{display:inline-block;margin:1.6rem 0;padding:.7rem 1.3rem;border-radius:.5rem;
background:var(--accent);color:var(--card);font-weight:600;text-decoration:none}
h2{font-size:1rem;color:var(--soft);font-weight:600;margin:1rem 0 .6rem}
ul{list-style:none;margin:0;padding:0}
.services{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr))}
.services>li{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:1.1rem 1.2rem}
h3{margin:0;font-size:1.1rem}.health{margin:.2rem 0 .7rem;font-size:.9rem}
.health::before{content:"";display:inline-block;width:.6rem;height:.6rem;border-radius:50%;margin-right:.45rem;
background:currentColor}.good{color:var(--good)}.bad{color:var(--bad)}
.services li li{margin:.15rem 0;font-size:.93rem}
footer{margin-top:2rem;padding-bottom:3rem;color:var(--soft);font-size:.9rem}
nav{margin-top:1rem;font-size:.9rem}nav a{margin-right:.8rem}
nav a[aria-current]{font-weight:700;text-decoration:none;color:var(--ink)}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Language",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
}
_DOCUMENTS = {
    "/docs": "api_documentation",
    "/openapi.json": "openapi_file",
    "/v1/codelists": "codelists",
}


def router(country: str, port_base: int) -> APIRouter:
    """Return the page of a country whose services listen on four ports from `port_base`."""
    pages = APIRouter(include_in_schema=False)

    @pages.get("/")
    async def show_start_page(request: Request) -> Response:
        wanted = request.query_params.get("language")
        language = messages.negotiate(wanted or request.headers.get("accept-language"))
        ports = {service: port_base + offset for offset, service in enumerate(SERVICES)}
        health = await asyncio.gather(*(is_ready(port) for port in ports.values()))
        cards = [
            _service(service, port, language, is_well=is_well)
            for (service, port), is_well in zip(ports.items(), health, strict=True)
        ]
        dashboard = f"{_address(ports['analytics'])}/dashboard?language={language}"
        page = _page(language, country, dashboard, cards)
        return HTMLResponse(page, headers={**_HEADERS, "Content-Language": language})

    return pages


def _page(language: str, country: str, dashboard: str, cards: list[str]) -> str:
    word = _words(language)
    languages = " ".join(_language(tag, is_current=tag == language) for tag in messages.LANGUAGES)
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{word('title')} · {country}</title><style>{_STYLE}</style></head><body>"
        f'<a class="skip" href="#content">{word("skip_to_content")}</a>'
        f'<header><h1>{word("title")}</h1><p class="country">{word(f"country.{country}")}</p>'
        f"<p>{word('tagline')}</p>"
        f'<nav aria-label="{word("language")}">{languages}</nav></header>'
        f'<main id="content"><a class="dashboard" href="{dashboard}">{word("dashboard")}</a>'
        f'<h2>{word("services")}</h2><ul class="services">{"".join(cards)}</ul></main>'
        f"<footer><p>{word('about_instance')}</p></footer>"
        "</body></html>"
    )


def _language(tag: str, *, is_current: bool) -> str:
    name = escape(messages.text(f"ui.language.{tag}", tag))
    current = ' aria-current="true"' if is_current else ""
    return f'<a href="/?language={tag}" lang="{tag}" hreflang="{tag}"{current}>{name}</a>'


def _service(service: str, port: int, language: str, *, is_well: bool) -> str:
    word = _words(language)
    links = "".join(
        f'<li><a href="{_address(port)}{path}">{word(key)}</a></li>'
        for path, key in _DOCUMENTS.items()
    )
    health = ("good", "healthy") if is_well else ("bad", "unhealthy")
    return (
        f"<li><h3>{word(f'service.{service}')}</h3>"
        f'<p class="health {health[0]}">{word(health[1])} · {service}, {port}</p><ul>{links}</ul></li>'
    )


def _words(language: str) -> Callable[[str], str]:
    """Return the function that says a `ui.` key of the catalogues in `language`, safe for HTML."""
    return lambda key: escape(messages.text(f"ui.{key}", language))


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"
