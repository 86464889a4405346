from pathlib import Path

from fastapi import FastAPI

from common.http import create_service
from common.migrations import folder_of
from common.runtime import Runtime
from intake.models import Base
from intake.routes.cases import cases
from intake.routes.consents import consents
from intake.routes.identification import identification
from intake.routes.identity import identity
from intake.routes.notices import notices

MIGRATIONS: Path = folder_of(__file__)
METADATA = Base.metadata


def create_app(runtime: Runtime) -> FastAPI:
    return create_service(
        runtime,
        [notices, cases, identity, consents, identification],
        title="Prag intake",
        description="Notices, cases, sealed identity, consent and identification.",
    )
