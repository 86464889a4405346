"""The reference: the same API as one would write it with FastAPI, pydantic and SQLAlchemy's ORM.

Three inserts in one transaction (case, outbox row, audit row), in a threadpool, over one
connection. No token is looked at, nothing is sealed, no key makes a repetition harmless, no commit
is shared. `python -m bench.plain FILE PORT JOURNAL SYNCHRONOUS`
"""

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy import JSON, DateTime, Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import QueuePool

from common.clock import new_id, utcnow


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012  as documented
        list[str]: JSON(),
        dict[str, Any]: JSON(),
        datetime: DateTime(timezone=True),
    }


class Case(Base):
    __tablename__ = "case_file"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    beneficiary_kind: Mapped[str]
    sex: Mapped[str]
    urgency: Mapped[str]
    legal_basis: Mapped[str]
    birth_date: Mapped[str | None]
    citizenships: Mapped[list[str]]
    languages: Mapped[list[str]]
    occurred_at: Mapped[datetime | None]
    note: Mapped[str | None]
    recorded_at: Mapped[datetime]


class Outbox(Base):
    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[UUID]
    type: Mapped[str]
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class Audit(Base):
    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    object_id: Mapped[UUID]


class CaseCreate(BaseModel):
    id: UUID
    beneficiary_kind: str
    sex: str
    urgency: str
    legal_basis: str
    birth_date: str | None = None
    citizenships: list[str] = []
    languages: list[str] = []
    occurred_at: AwareDatetime | None = None
    note: str | None = None


class CaseRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    beneficiary_kind: str
    sex: str
    urgency: str
    legal_basis: str
    citizenships: list[str]
    languages: list[str]
    occurred_at: datetime | None
    recorded_at: datetime


def create_app(engine: Engine) -> FastAPI:
    app = FastAPI()

    def open_session() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    @app.post("/v1/cases", status_code=201)
    def create_case(
        body: CaseCreate, session: Annotated[Session, Depends(open_session)]
    ) -> CaseRead:
        now = utcnow()
        case = Case(**body.model_dump(), recorded_at=now)
        told = {"id": str(new_id()), "case_id": str(body.id), "urgency": body.urgency}
        session.add(case)
        session.add(Outbox(subject=body.id, type="case.opened", payload=told, created_at=now))
        session.add(Audit(at=now, actor="nobody", action="create", object_id=body.id))
        answer = CaseRead.model_validate(case)
        session.commit()
        return answer

    @app.get("/v1/cases/{case_id}")
    def get_case(case_id: UUID, session: Annotated[Session, Depends(open_session)]) -> CaseRead:
        case = session.get(Case, case_id)
        if case is None:
            raise HTTPException(404)
        return CaseRead.model_validate(case)

    @app.get("/readyz")
    def readyz() -> None:
        return

    return app


def open_engine(path: str, journal: str, synchronous: str) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _: object) -> None:  # noqa: ANN401  the driver's own type
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute(f"PRAGMA synchronous={synchronous}")

    return engine


def main() -> None:
    path, port, journal, synchronous = sys.argv[1:]
    engine = open_engine(path, journal, synchronous)
    Base.metadata.create_all(engine)
    uvicorn.run(create_app(engine), port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
