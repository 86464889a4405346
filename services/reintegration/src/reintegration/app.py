from fastapi import FastAPI

from common.http import create_service
from common.runtime import Runtime
from reintegration.consumers import HANDLERS
from reintegration.models import Base
from reintegration.routes.agreement import agreements
from reintegration.routes.phases import policies
from reintegration.routes.plan import plans

METADATA = Base.metadata


def create_app(runtime: Runtime) -> FastAPI:
    return create_service(
        runtime,
        [plans, agreements, policies],
        title="Prag reintegration",
        description="Reintegration plans: their phases and month clocks, agreements, closure.",
        handlers=HANDLERS,
    )
