"""The manners all four services share: routes, errors, preconditions, pages, filters."""

from common.http.filters import Filter, Filters
from common.http.paging import Page, PageDep, page
from common.http.request import CurrentPrincipal, IfMatch, UnitDep
from common.http.route import PragRoute, router
from common.http.service import create_service

__all__ = [
    "CurrentPrincipal",
    "Filter",
    "Filters",
    "IfMatch",
    "Page",
    "PageDep",
    "PragRoute",
    "UnitDep",
    "create_service",
    "page",
    "router",
]
