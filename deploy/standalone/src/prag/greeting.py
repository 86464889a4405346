"""What `prag up` says once the country is ready: where to look, a token, a first call to paste."""

import json
import shlex
import sys
from pathlib import Path

from common.clock import new_id
from prag.instance import Instance
from prag.issuer import organisation_id
from prag.manifest import SERVICES
from prag.names import office
from prag.settings import DEFAULT_HOME

ROLE = "SOCIAL_WORKER"


def greet(instance: Instance) -> None:
    """Print `ready` on a line of its own, then everything a newcomer needs."""
    base, country = instance.port_base, instance.country
    ports = dict(zip(SERVICES, range(base, base + len(SERVICES)), strict=True))
    name = office(country)
    token = instance.issuer.token(ROLE, organisation_id(name, country), "ana")
    print("ready", flush=True)
    documents = "  ".join(f"http://127.0.0.1:{port}/docs" for port in ports.values())
    print(
        f"\n  start page  http://127.0.0.1:{ports['intake']}/"
        f"\n  dashboard   http://127.0.0.1:{ports['analytics']}/dashboard"
        f"\n              sign in with what this prints: {_command(instance)} token --role ANALYST --org ministry"
        f"\n  documents   {documents}"
        f"\n  data        {instance.home}"
        f"\n\nToken of a {ROLE} of {name}, for 15 minutes:"
        f"\n{token}"
        f"\nAnother: {_command(instance)} token --role {ROLE} --org {name}"
        "\n\nFirst call, a notice from a hotline:"
        f"\n{first_call(ports['intake'], country, token)}\n",
        flush=True,
    )


def _command(instance: Instance) -> str:
    """Return how `prag` is called from here on this data folder."""
    program = Path(sys.executable).with_name("prag")
    here = Path.cwd()
    shown = program.relative_to(here) if program.is_relative_to(here) else program
    is_default = instance.home == (here / DEFAULT_HOME).absolute()
    setting = "" if is_default else f"PRAG_HOME={shlex.quote(str(instance.home))} "
    return f"{setting}{shlex.quote(str(shown))}"


def first_call(port: int, country: str, token: str) -> str:
    """Return a command line that reports a notice; it works as it stands."""
    body = json.dumps({"source": "HOTLINE", "country": country, "urgency": "HIGH"})
    return (
        f"curl -sS -X POST http://127.0.0.1:{port}/v1/notices -H 'Authorization: Bearer {token}' "
        f"-H 'Content-Type: application/json' -H 'Idempotency-Key: {new_id()}' -d '{body}'"
    )
