"""Every operation of the four services, found by walking their applications."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from common.runtime import open_runtime
from common.settings import PORTS, ServiceName, ServiceSettings
from prag.files import write_private
from prag.issuer import AUDIENCE, ISSUER, LocalIssuer

SERVICES = tuple(PORTS)

JSON = "application/json"
PROBLEM = "application/problem+json"

VALID = {"$ref": "#/components/schemas/Valid"}
"""The answer to a check, in `anyOf` with the answer to the act where both have the same status."""

Row = Mapping[str, list[str]] | str
"""A row of authz.json: role → relations, or PUBLIC."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path, with its OpenAPI description and what that refers to."""

    service: ServiceName
    path: str
    method: str
    about: Mapping[str, Any] = field(repr=False, compare=False)
    components: Mapping[str, Any] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.service}-{self.name}"

    @property
    def name(self) -> str:
        name: str = self.about["operationId"]
        return name

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    def parameters(self, place: str) -> dict[str, dict[str, Any]]:
        """Return the parameters of the path, query or header by their names."""
        return {p["name"]: p for p in self.about.get("parameters", []) if p["in"] == place}

    @property
    def takes_version(self) -> bool:
        return any(name.lower() == "if-match" for name in self.parameters("header"))

    @property
    def record_ids(self) -> list[str]:
        """Return the path parameters that name a record; other ones name a code."""
        return [
            name
            for name, parameter in self.parameters("path").items()
            if parameter["schema"].get("format") == "uuid"
        ]

    @property
    def body(self) -> dict[str, Any] | None:
        """Return the schema of the request body; None for an operation that takes none."""
        content = self.about.get("requestBody", {}).get("content", {})
        return self.resolve(content[JSON]["schema"]) if content else None

    @property
    def examples(self) -> list[Any]:
        """Return the whole example bodies of the description."""
        return [] if self.body is None else list(self.body.get("examples", []))

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Follow a reference into the components; what stands beside it is kept."""
        if "$ref" not in schema:
            return schema
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        name = schema["$ref"].removeprefix("#/components/schemas/")
        return {**self.resolve(self.components["schemas"][name]), **beside}

    @property
    def success(self) -> tuple[int, dict[str, Any]]:
        """Return the status of the answer it gives when all is well, and that answer's schema."""
        found = [code for code in self.about["responses"] if code.startswith("2")]
        status = max(found)  # 200 beside 201 is the answer to a check
        schema = self.about["responses"][status]["content"][JSON]["schema"]
        options = [each for each in schema.get("anyOf", ()) if each != VALID]
        return int(status), options[0] if len(options) == 1 else schema

    def documents(self, status: int, *, validate_only: bool = False) -> bool:
        """Tell whether the description names this status, and of a check its answer too."""
        answer = self.about["responses"].get(str(status))
        if answer is None or not (validate_only and status == 200):
            return answer is not None
        schema = answer["content"][JSON]["schema"]
        return VALID in (schema, *schema.get("anyOf", ()))


@cache
def application(service: ServiceName) -> FastAPI:
    """Return the service's application for reading what it is made of; it has no database."""
    settings_class: type[ServiceSettings] = import_module(f"{service}.settings").Settings
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        master_key_file = home / "keys" / "master.key"
        jwks_file = LocalIssuer(home).jwks_file
        write_private(master_key_file, bytes(32))
        settings = settings_class(
            country="RS",
            database_url=f"sqlite:///{home}/{service}.db",
            bus_url=f"local://{home}/bus.db",
            oidc_issuer=ISSUER,
            oidc_audience=AUDIENCE,
            oidc_jwks_file=jwks_file,
            master_key_file=master_key_file,
        )
        app: FastAPI = import_module(f"{service}.app").create_app(open_runtime(service, settings))
        return app


@cache
def description(service: ServiceName) -> dict[str, Any]:
    """Return the OpenAPI document the service serves."""
    return application(service).openapi()


@cache
def operations(service: ServiceName) -> tuple[Operation, ...]:
    document = description(service)
    return tuple(
        Operation(service, path, method.upper(), about, document["components"])
        for path, item in document["paths"].items()
        for method, about in item.items()
    )


def all_operations() -> list[Operation]:
    return [operation for service in SERVICES for operation in operations(service)]


@cache
def authorisation(service: ServiceName) -> dict[str, Row]:
    """Return the service's table as the data it is, not as the code that reads it."""
    table: dict[str, Row] = json.loads(files(service).joinpath("authz.json").read_text())
    return table
