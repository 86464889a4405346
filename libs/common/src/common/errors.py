"""Errors a caller can act on. Anything else that is raised is a bug and becomes a 500.

An error carries a stable `code`; its sentence comes from the message catalogues in the caller's
language. Members are codes, numbers or lists of codes from closed sets, never what was sent.
"""

from http import HTTPStatus
from typing import ClassVar

Member = str | int | bool | list[str] | None


class ProblemError(Exception):
    """Base of every expected error; a subclass fixes the HTTP status."""

    status: ClassVar[HTTPStatus]

    def __init__(self, code: str, *, pointer: str | None = None, **members: Member) -> None:
        super().__init__(code)
        self.code = code
        self.pointer = pointer
        self.members = members


class BadRequestError(ProblemError):
    """The request cannot be read as this API's language: a filter, cursor or header is wrong."""

    status = HTTPStatus.BAD_REQUEST


class UnauthorizedError(ProblemError):
    """No valid token."""

    status = HTTPStatus.UNAUTHORIZED


class ForbiddenError(ProblemError):
    """The caller may know of the record and may still not do this (also: consent is missing)."""

    status = HTTPStatus.FORBIDDEN


class NotFoundError(ProblemError):
    """No such record, or none that the caller may know of; both look the same."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("not_found")


class ConflictError(ProblemError):
    """The record's state does not allow this step."""

    status = HTTPStatus.CONFLICT


class NotYetError(ConflictError):
    """The record's state does not allow this step yet; it will by itself.

    Who asked for it is told so and asks again. An event that asks for it is kept and waits, with
    all that follow it: see common.inbox.
    """


class PreconditionFailedError(ProblemError):
    """The record has changed since the caller read it."""

    status = HTTPStatus.PRECONDITION_FAILED


class PreconditionRequiredError(ProblemError):
    """A change without If-Match."""

    status = HTTPStatus.PRECONDITION_REQUIRED


class TooSlowError(ProblemError):
    """A body that does not arrive."""

    status = HTTPStatus.REQUEST_TIMEOUT


class TooLargeError(ProblemError):
    """A body above the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMediaTypeError(ProblemError):
    """A body that is not JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class InvalidError(ProblemError):
    """A well-formed request whose content breaks a rule; `pointer` names the field."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class UnavailableError(ProblemError):
    """The service cannot keep its promises just now; nothing was changed and no data were given."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
