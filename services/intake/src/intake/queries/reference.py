from http import HTTPStatus
from uuid import UUID

from sqlalchemy.orm import DeclarativeBase

from common.errors import ProblemError
from common.http.taken import TakenError


class HiddenReferenceError(TakenError):
    """A record the body names that is not there for the caller: 422 `reference.unknown`.

    The edge enters who was refused what, as of every TakenError. It does so whether the record is
    another's or there is none, so that neither the answer nor the time it takes tells which.
    """

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, *, model: type[DeclarativeBase], id: UUID, pointer: str) -> None:  # noqa: A002
        super().__init__(table=model.__tablename__, id=id)
        ProblemError.__init__(self, "reference.unknown", pointer=pointer)
