"""The reference: FastAPI, pydantic and bare asyncpg on PostgreSQL, as little as it can be.

Three inserts in one transaction (case, outbox row, audit row); a read is one select by id. No token
is looked at, nothing is sealed, no read is entered anywhere, no key makes a repetition harmless, and
no row knows its readers. `python -m bench.raw URL PORT`
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import uvicorn
from fastapi import FastAPI, HTTPException

from bench.plain import CaseCreate, CaseRead
from common.clock import new_id, utcnow

CONNECTIONS = 10
"""As many as intake opens."""

_TABLES = """
CREATE TABLE case_file (
  id uuid PRIMARY KEY, beneficiary_kind text NOT NULL, sex text NOT NULL, urgency text NOT NULL,
  legal_basis text NOT NULL, birth_date text, citizenships text[] NOT NULL, languages text[] NOT NULL,
  occurred_at timestamptz, note text, recorded_at timestamptz NOT NULL);
CREATE TABLE outbox (
  id bigserial PRIMARY KEY, subject uuid NOT NULL, type text NOT NULL, payload bytea NOT NULL,
  created_at timestamptz NOT NULL);
CREATE TABLE audit (
  id bigserial PRIMARY KEY, at timestamptz NOT NULL, actor text NOT NULL, action text NOT NULL,
  object_id uuid NOT NULL);
"""
_CASE = "INSERT INTO case_file VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
_OUTBOX = "INSERT INTO outbox (subject, type, payload, created_at) VALUES ($1, $2, $3, $4)"
_AUDIT = "INSERT INTO audit (at, actor, action, object_id) VALUES ($1, $2, $3, $4)"
_READ = "SELECT * FROM case_file WHERE id = $1"


def create_app(url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(url, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/cases", status_code=201)
    async def create_case(body: CaseCreate) -> CaseRead:
        now = utcnow()
        case = CaseRead(**body.model_dump(), recorded_at=now)
        told = {"id": str(new_id()), "case_id": str(body.id), "urgency": body.urgency}
        row = (
            *(body.id, body.beneficiary_kind, body.sex, body.urgency, body.legal_basis),
            *(body.birth_date, body.citizenships, body.languages, body.occurred_at, body.note, now),
        )
        async with app.state.pool.acquire() as connection, connection.transaction():
            await connection.execute(_CASE, *row)
            await connection.execute(
                _OUTBOX, body.id, "case.opened", json.dumps(told).encode(), now
            )
            await connection.execute(_AUDIT, now, "nobody", "create", body.id)
        return case

    @app.get("/v1/cases/{case_id}")
    async def get_case(case_id: UUID) -> CaseRead:
        async with app.state.pool.acquire() as connection:
            row = await connection.fetchrow(_READ, case_id)
        if row is None:
            raise HTTPException(404)
        return CaseRead(**row)

    @app.get("/readyz")
    async def readyz() -> None:
        return

    return app


async def create_tables(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(_TABLES)
    await connection.close()


def main() -> None:
    url, port = sys.argv[1:]
    asyncio.run(create_tables(url))
    uvicorn.run(
        create_app(url),
        port=int(port),
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
