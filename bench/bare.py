"""The reference for start and size: FastAPI and SQLAlchemy's asyncio engine on PostgreSQL.

The models and bodies of `bench.plain`, one read and a readiness that asks the database; uvicorn as
intake runs it. `python -m bench.bare URL PORT`
"""

import sys
from uuid import UUID

import uvicorn
from fastapi import FastAPI, HTTPException
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from bench.plain import Case, CaseRead


def create_app(url: str) -> FastAPI:
    app = FastAPI()
    engine = create_async_engine(url, pool_size=10, max_overflow=0)

    @app.get("/v1/cases/{case_id}")
    async def get_case(case_id: UUID) -> CaseRead:
        async with AsyncSession(engine) as session:
            case = await session.get(Case, case_id)
        if case is None:
            raise HTTPException(404)
        return CaseRead.model_validate(case)

    @app.get("/readyz")
    async def readyz() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    return app


def main() -> None:
    url, port = sys.argv[1:]
    uvicorn.run(
        create_app(url),
        port=int(port),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        server_header=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
