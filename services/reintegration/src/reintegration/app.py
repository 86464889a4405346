from pathlib import Path

from fastapi import FastAPI

from common.http import create_service
from common.migrations import folder_of
from common.runtime import Runtime
from reintegration.models import Base
from reintegration.routes.agreement import agreements
from reintegration.routes.phases import policies
from reintegration.routes.plan import plans

MIGRATIONS: Path = folder_of(__file__)
METADATA = Base.metadata


def create_app(runtime: Runtime) -> FastAPI:
    return create_service(
        runtime,
        [plans, agreements, policies],
        title="Prag reintegration",
        description="Reintegration plans: their phases and month clocks, agreements, closure.",
    )
