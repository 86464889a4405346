from fastapi import FastAPI

from common.http import create_service
from common.runtime import Runtime
from referral.consumers import HANDLERS
from referral.models import Base
from referral.queries.rejoin import measure
from referral.routes.cross_border import cross_border
from referral.routes.cross_border_answers import answers
from referral.routes.directory import organisations, services
from referral.routes.referral import referrals
from referral.routes.rules import rules
from referral.routes.steps import steps

METADATA = Base.metadata


def create_app(runtime: Runtime) -> FastAPI:
    return create_service(
        runtime,
        [organisations, services, referrals, steps, rules, cross_border, answers],
        title="Prag referral",
        description="The directory of organisations and services, and referrals inside the country "
        "and to and from others.",
        handlers=HANDLERS,
        gauges=measure,
    )
