from typing import Annotated

from fastapi import Depends, Request

from common.federation.peers import read_peers
from common.http.request import runtime_of


async def _peers(request: Request) -> frozenset[str]:
    return read_peers(runtime_of(request).settings.peers_folder).countries


PeersDep = Annotated[frozenset[str], Depends(_peers)]
"""The countries this one exchanges referrals with."""
