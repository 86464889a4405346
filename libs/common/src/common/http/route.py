"""The edge of every operation: who, may they, strict body, Unit, one write, then the answer."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from uuid import UUID

import structlog
from fastapi import APIRouter
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from common.auth import Principal
from common.clock import monotonic
from common.codelists import codes
from common.crash import crash
from common.db import OUTAGE
from common.errors import (
    BadRequestError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)
from common.http.body import read_json
from common.http.fields import PARAMETER, Fields, Handler
from common.http.idempotency import SECURE_HEADERS, InFlight, Repetition
from common.http.operation import Operation, queries_of
from common.http.problem import render_error
from common.http.request import runtime_of
from common.http.taken import TakenError, refuse_taken
from common.runtime import Runtime
from common.telemetry import HTTP_DENIED, HTTP_SECONDS, SERVER, span
from common.unit import DuplicateError, StaleError, Unit

logger = structlog.get_logger(__name__)

_WRITES = {"POST", "PUT", "PATCH", "DELETE"}
_ATTEMPTS = 20
_SECURE = {name.lower().encode(): value.encode() for name, value in SECURE_HEADERS.items()}
_seconds = cache(HTTP_SECONDS.labels)
_SINGLE = frozenset(
    {b"authorization", b"content-encoding", b"content-type", b"idempotency-key", b"if-match"}
)
"""Headers of which two would leave open which one holds; a proxy may have taken the other."""


def router(*, prefix: str = "", tags: list[str]) -> APIRouter:
    """Return a router whose operations keep the house's manners."""
    return APIRouter(
        prefix=prefix,
        tags=list(tags),
        route_class=PragRoute,
        generate_unique_id_function=lambda route: route.name,
    )


class PragRoute(APIRoute):
    """An operation under /v1. Its function name is its operation id and its row in authz.json."""

    _fields: Fields | None = None
    """Those of a reading, which may be asked for some of them only; see common.http.fields."""

    def get_route_handler(self) -> Handler:
        answer: Handler = Operation(self)
        if self.methods == {"GET"} and self.response_model is not None:
            self._fields = Fields(self.response_model)
            answer = self._fields.narrowing(answer)
        operation = self.name
        takes_body = self.body_field is not None
        extra = (self.openapi_extra or {}).get("parameters", [])
        known = queries_of(self.dependant) | {p["name"]: False for p in extra if p["in"] == "query"}
        if self._fields is not None:
            known[PARAMETER] = False

        async def respond(request: Request, runtime: Runtime) -> Response:
            try:
                call = Call(runtime, request, operation, answer, known)
                return await call.run(takes_body=takes_body)
            except Exception as error:  # noqa: BLE001  the last resort: every error has one rendering
                return render_error(request, error)

        async def handle(request: Request) -> Response:
            started = monotonic()
            runtime, state = runtime_of(request), request.state
            parent = state.traceparent
            with span(operation, service=runtime.name, kind=SERVER, parent=parent) as traced:
                if (context := traced.get_span_context()).is_valid:
                    state.trace_id = f"{context.trace_id:032x}"
                response = await respond(request, runtime)
                status = f"{response.status_code // 100}xx"
                traced.set_attribute("status", status)
            _seconds(runtime.name, operation, status).observe(monotonic() - started)
            return response

        self._handle = handle
        return handle

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. FastAPI's own way opens two stacks for what dependencies close; ours open nothing."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # which refuses it
            return
        response = await self._handle(Request(scope, receive, send))
        await response(scope, receive, send)

    def describe_fields(self) -> None:
        """Put the fields that may be asked for into the description; not before somebody reads it.

        They take the whole schema of the answer, which a start need not wait for.
        """
        if self._fields is not None:
            self.openapi_extra = self._fields.described_in(self.openapi_extra or {})


class Call:
    """One request on its way through the edge."""

    def __init__(
        self,
        runtime: Runtime,
        request: Request,
        operation: str,
        answer: Handler,
        known: Mapping[str, bool],
    ) -> None:
        self._runtime = runtime
        self._request = request
        self._operation = operation
        self._answer = answer
        self._known = known
        self._principal: Principal | None = None

    async def run(self, *, takes_body: bool) -> Response:
        _check_headers(self._request)
        if not self._runtime.authorisation.is_public(self._operation):
            self._principal = self._authenticate()
        try:
            if self._principal is not None:
                self._authorise(self._principal)
            self._check_query()
            return await self._go(takes_body=takes_body)
        except (ForbiddenError, NotFoundError, TakenError) as error:
            await self._record_denial(error)
            raise
        except InvalidError:
            await self._record_check()
            raise

    async def _go(self, *, takes_body: bool) -> Response:
        """Read, check or write, as the request asks."""
        request = self._request
        if request.method not in _WRITES:
            return await self._attempts(None)
        raw = await read_json(request, limit=self._runtime.settings.max_body_bytes)
        if raw and not takes_body and await request.json() != {}:
            # Never passed over: whoever sends it means something by it.
            raise InvalidError("field.unknown", known=[])
        if self._is_dry():
            return await self._validate()
        if request.method != "POST" or self._principal is None:
            return await self._attempts(None)
        return await self._once(
            Repetition(self._runtime, request, self._operation, raw, self._principal)
        )

    # --- who

    def _authenticate(self) -> Principal:
        scheme, _, token = self._request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorizedError("unauthorized")
        return self._runtime.tokens.verify(token)

    def _authorise(self, principal: Principal) -> None:
        relations = self._runtime.authorisation.relations(self._operation, principal.role)
        self._principal = Principal(
            principal.subject,
            principal.organisation_id,
            principal.role,
            principal.client_id,
            relations,
            self._runtime.authorisation.data_groups(principal.role),
        )
        self._request.state.principal = self._principal

    def _check_query(self) -> None:
        if not self._request.scope["query_string"]:
            return
        allowed = set(self._known) | (
            {"validate_only"} if self._request.method in _WRITES else set()
        )
        given = self._request.query_params
        if not set(given) <= allowed:
            is_list = any("." in name or name == "cursor" for name in self._known)
            raise BadRequestError(
                "filter.unknown" if is_list else "query.unknown", known=sorted(allowed)
            )
        single = [name for name, _ in given.multi_items() if not self._known.get(name)]
        for name in {name for name in single if single.count(name) > 1}:
            raise BadRequestError("query.invalid", parameter=name)

    def _is_dry(self) -> bool:
        """Tell whether to check only. Any other spelling is refused: it must not write by mistake."""
        if not self._request.scope["query_string"]:
            return False
        given = self._request.query_params.getlist("validate_only")
        if given not in ([], ["true"], ["false"]):
            raise BadRequestError(
                "query.invalid", parameter="validate_only", choices=["true", "false"]
            )
        return given == ["true"]

    # --- doing it

    async def _once(self, repetition: Repetition) -> Response:
        """Answer a key once. That it is new is not asked beforehand: the answer's row must be new."""
        in_flight: InFlight = self._request.app.state.in_flight
        has_twin = await in_flight.enter(repetition)
        try:
            if has_twin and (kept := await repetition.answer()):
                return await self._repeat(kept)
            return await self._attempts(repetition)
        except OUTAGE:
            raise  # who does not answer is not asked again: the caller has waited once
        except Exception:
            # The key may have been answered before: then the command met its own effect.
            if kept := await repetition.answer():
                return await self._repeat(kept)
            raise
        finally:
            in_flight.leave(repetition)

    async def _repeat(self, kept: Response) -> Response:
        """Give an answer again, once that is in the audit trail: it may hold what only few may read."""
        named = [*self._ids_in_path(), *_ids(kept.headers.get("location", "").rsplit("/", 1)[-1:])]
        unit = self._new_unit()
        unit.audit("repeat", "request", named, about=UUID(named[0]) if named else None)
        await self._write(unit)
        return kept

    async def _attempts(self, repetition: Repetition | None) -> Response:
        """Run the command; run it again on fresh rows when they changed under it.

        A key that is taken is met twice before it is a conflict: a command that looks for taken
        keys finds it the second time.
        """
        taken: set[str] = set()
        for _ in range(_ATTEMPTS):
            try:
                return await self._attempt(repetition)
            except StaleError:
                continue
            except DuplicateError as error:
                if repetition and (kept := await repetition.answer()):
                    return await self._repeat(kept)  # another process was first to answer this key
                if error.table in taken:
                    await refuse_taken(self._request.state.unit)
                    raise ConflictError("already_exists") from None
                taken.add(error.table)
        raise ConflictError("version.conflict")

    async def _attempt(self, repetition: Repetition | None) -> Response:
        unit = self._new_unit()
        response = await self._command(unit)
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            return response
        _decorate(response, unit, self._request)
        if repetition is not None:
            repetition.keep(unit, response)
        await self._write(unit)
        crash("http.after_write")
        return response

    async def _command(self, unit: Unit) -> Response:
        """Run the operation. That an id is taken is said before anything else is a conflict."""
        try:
            return await self._answer(self._request)
        except ConflictError:
            await refuse_taken(unit)
            raise

    async def _validate(self) -> Response:
        """Do everything but write. A bulk call answers per item, as it would."""
        unit = self._new_unit()
        response = await self._command(unit)
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            return response
        if response.status_code == HTTPStatus.MULTI_STATUS:
            await self._keep_denials(unit)
            response.headers.update(SECURE_HEADERS)
            return response
        await refuse_taken(unit)
        await self._record_check()
        return JSONResponse({"valid": True}, headers=SECURE_HEADERS)

    async def _record_check(self) -> None:
        """Enter that somebody learnt of a record what would be taken and what would be refused."""
        if self._principal is not None and (named := self._ids_in_path()):
            unit = self._new_unit()
            unit.audit("check", "request", named, about=UUID(named[0]))
            await self._write(unit)

    async def _keep_denials(self, unit: Unit) -> None:
        """Write, of what a check would have written, only who was refused what."""
        denials = [step for step in unit.steps if step.values.get("decision") == "deny"]
        if denials:
            kept = self._new_unit()
            kept.steps = denials
            await self._write(kept)

    def _new_unit(self) -> Unit:
        runtime, state = self._runtime, self._request.state
        unit = Unit(
            runtime.database,
            runtime.database.keys,
            source=runtime.source,
            operation=self._operation,
            trace_id=state.trace_id,
        )
        if self._principal is not None:
            unit.actor = self._principal.actor
        state.unit = unit
        return unit

    async def _write(self, unit: Unit) -> None:
        try:
            await self._runtime.database.write(unit)
        except OUTAGE as error:
            logger.warning("database.write_failed", error=type(error).__name__)
            raise UnavailableError("unavailable") from None
        except SQLAlchemyError as error:
            # Whatever kept the entry from being written, nothing else was: no entry, no data.
            logger.error(  # noqa: TRY400  its text may hold values
                "database.write_refused", error=type(error).__name__
            )
            raise UnavailableError("unavailable") from None

    async def _record_denial(self, error: Exception) -> None:
        """Write who was refused what. Identifiers are kept only where they are ids of ours."""
        HTTP_DENIED.labels(self._runtime.name, self._operation).inc()
        if self._principal is None:
            return
        unit = self._new_unit()
        kind, ids = "request", self._ids_in_path()
        if isinstance(error, TakenError):
            kind, ids = error.table, [str(error.id)]
        # The first is the record asked for: whoever it concerns can be told who was refused.
        about = UUID(ids[0]) if ids else None
        purpose = self._request.query_params.get("purpose")
        named = purpose if purpose in codes("purposes") else None
        unit.audit("deny", kind, ids, about=about, purpose=named, decision="deny")
        logger.info("request.denied", operation=self._operation)
        await self._write(unit)

    def _ids_in_path(self) -> list[str]:
        return _ids(self._request.path_params.values())


def _check_headers(request: Request) -> None:
    names = [name for name, _ in request.scope["headers"] if name in _SINGLE]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise BadRequestError("header.repeated", parameter=repeated.decode().title())


def _ids(values: Iterable[object]) -> list[str]:
    """Return those of `values` that are ids, however they are spelt: the handlers take them so too."""
    found = []
    for value in values:
        with suppress(ValueError):
            found.append(str(UUID(str(value))))
    return found


def _decorate(response: Response, unit: Unit, request: Request) -> None:
    more = {**_SECURE}
    if unit.version is not None:
        more[b"etag"] = b'"%d"' % unit.version
    if response.status_code == HTTPStatus.CREATED and unit.created_id is not None:
        location = f"{request.scope['path'].rstrip('/')}/{unit.created_id}"
        more[b"location"] = location.encode("latin-1")
    kept = [header for header in response.raw_headers if header[0] not in more]
    response.raw_headers[:] = [*kept, *more.items()]
