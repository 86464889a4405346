"""The four services as the standalone process starts them. Importing this loads all of them."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fastapi import FastAPI

import analytics.app
import analytics.migrate
import analytics.settings
import analytics.worker
import intake.app
import intake.commands.ownership
import intake.migrate
import intake.settings
import intake.worker
import referral.app
import referral.commands.held
import referral.migrate
import referral.settings
import referral.worker
import reintegration.app
import reintegration.migrate
import reintegration.settings
import reintegration.worker
from common.runtime import Runtime
from common.settings import ServiceName, ServiceSettings


class Work(Protocol):
    def __call__(
        self, runtime: Runtime, *, anchor_file: Path | None = None
    ) -> Coroutine[Any, Any, None]: ...


@dataclass(frozen=True, slots=True)
class Part:
    """One service: its settings, its migrations, its application, its worker."""

    settings: type[ServiceSettings]
    migrations: Path
    create_app: Callable[[Runtime], FastAPI]
    work: Work
    begin: Work | None = None
    """What comes before the service answers or works."""


PARTS: dict[ServiceName, Part] = {
    "intake": Part(
        intake.settings.Settings,
        intake.migrate.MIGRATIONS,
        intake.app.create_app,
        intake.worker.run,
        intake.commands.ownership.begin,
    ),
    "referral": Part(
        referral.settings.Settings,
        referral.migrate.MIGRATIONS,
        referral.app.create_app,
        referral.worker.run,
        referral.commands.held.begin,
    ),
    "reintegration": Part(
        reintegration.settings.Settings,
        reintegration.migrate.MIGRATIONS,
        reintegration.app.create_app,
        reintegration.worker.run,
    ),
    "analytics": Part(
        analytics.settings.Settings,
        analytics.migrate.MIGRATIONS,
        analytics.app.create_app,
        analytics.worker.run,
    ),
}
