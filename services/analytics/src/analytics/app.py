from fastapi import FastAPI

from analytics.consumers import HANDLERS
from analytics.models import Base
from analytics.pages.dashboard import router as pages
from analytics.routes import indicators
from common.http import create_service
from common.runtime import Runtime

METADATA = Base.metadata


def create_app(runtime: Runtime) -> FastAPI:
    return create_service(
        runtime,
        [indicators],
        title="Prag analytics",
        description="National indicators computed from events, and the ministry's dashboard.",
        pages=[pages],
        handlers=HANDLERS,
    )
