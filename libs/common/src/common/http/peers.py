"""What a route asks of the countries this one exchanges with."""

from typing import Annotated

from fastapi import Depends, Request

from common.clock import utcnow
from common.errors import ConflictError
from common.federation.peers import Peers, read_peers
from common.http.request import runtime_of


async def _peers(request: Request) -> Peers:
    return read_peers(runtime_of(request).settings.peers_folder)


async def speak(request: Request) -> Peers:
    """Return the peers for a step of which the other country must hear.

    ConflictError `peer.no_own_key` while this country could not sign what it says: nobody shall
    believe that the other one hears of it. What calls a referral off is said without, for it protects
    the person at once.
    """
    peers = await _peers(request)
    country = runtime_of(request).settings.here.country
    if peers.directory.signing_kid(country, utcnow()) is None:
        raise ConflictError("peer.no_own_key")
    return peers


PeersDep = Annotated[Peers, Depends(_peers)]
"""The countries this one exchanges referrals with."""

SpeakingDep = Annotated[Peers, Depends(speak)]
"""The same, for a step of which the other country must hear."""
