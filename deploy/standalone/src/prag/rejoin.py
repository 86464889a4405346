"""`prag rejoin`: whose answer a country waits for that was put back from a backup, and the end of it."""

import asyncio
from pathlib import Path

from common.runtime import open_runtime
from prag.instance import Instance
from prag.manifest import TroubleError, read_manifest
from prag.parts import PARTS
from referral.worker import go_on_alone


def rejoin_alone(home: Path) -> list[str]:
    """Wait for no peer's answer any more; return whose was missing. The country may be running.

    The audit trail has it. TroubleError for a folder that holds no country.
    """
    manifest = read_manifest(home)
    if manifest is None:
        raise TroubleError(f"{home} is no data folder of Prag.")
    instance = Instance(home, manifest.country, 8001)

    async def act() -> list[str]:
        runtime = open_runtime("referral", instance.settings("referral", PARTS["referral"]))
        try:
            return await go_on_alone(runtime)
        finally:
            await runtime.database.close()
            await runtime.bus.close()

    return asyncio.run(act())
