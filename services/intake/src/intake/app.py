from fastapi import FastAPI

from common.http import create_service
from common.runtime import Runtime
from intake.consumers import HANDLERS
from intake.models import Base
from intake.routes.cases import cases
from intake.routes.consents import consents
from intake.routes.declarations import declarations
from intake.routes.identification import identification
from intake.routes.identity import identity
from intake.routes.markers import markers
from intake.routes.notices import notices
from intake.routes.transfers import transfers

METADATA = Base.metadata


def create_app(runtime: Runtime) -> FastAPI:
    return create_service(
        runtime,
        [notices, cases, identity, consents, identification, markers, declarations, transfers],
        title="Prag intake",
        description="Notices, cases, sealed identity, consent, identification, markers, handover.",
        handlers=HANDLERS,
    )
