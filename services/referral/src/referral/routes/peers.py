from typing import Annotated

from fastapi import Depends, Request

from common.clock import utcnow
from common.errors import ConflictError
from common.federation.peers import read_peers
from common.http.request import runtime_of
from referral.domain.calendar import Calendar
from referral.routes.calendar import calendar_of


async def _peers(request: Request) -> frozenset[str]:
    return read_peers(runtime_of(request).settings.peers_folder).countries


async def _saying(request: Request) -> Calendar:
    calendar = await calendar_of(request)
    directory = read_peers(runtime_of(request).settings.peers_folder).directory
    if directory.signing_kid(calendar.country, utcnow()) is None:
        raise ConflictError("peer.no_own_key")
    return calendar


PeersDep = Annotated[frozenset[str], Depends(_peers)]
"""The countries this one exchanges referrals with."""

SayingDep = Annotated[Calendar, Depends(_saying)]
"""The calendar, for a step that takes a referral further.

ConflictError `peer.no_own_key` while this country could not sign what it says: nobody shall believe that
the other country hears of it. What calls a referral off is said without, for it protects the person at once.
"""
