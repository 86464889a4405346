"""The alerts of an API at which nobody can sign in: the provider's keys are not there, or grow old."""

from pathlib import Path

import pytest

from common import issuer
from common.clock import monotonic
from common.settings import ServiceName
from tests.common.test_issuer_keys import JWKS, Clock, Provider
from tests.keycloak import asking
from tests.system.alerting import RULES, is_true, read
from tests.system.processes import PATIENCE, poll


@pytest.mark.parametrize("name", ["intake", "referral", "reintegration", "analytics"])
async def test_an_api_without_the_keys_of_the_provider_is_seen_though_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: ServiceName
) -> None:
    # Fails when ready is all that is told of an API at which nobody can sign in, or will not be able to.
    ticks = Clock()
    monkeypatch.setattr(issuer, "monotonic", lambda: ticks.now)
    monkeypatch.setattr(issuer, "FIRST_RETRY_SECONDS", 0.01)
    with Provider(tmp_path / "provider") as provider:
        provider.is_open = False
        async with asking(provider.url, name, tmp_path / name) as client:

            async def firing() -> set[str]:
                found = read((await client.get("/metrics")).text, name)
                return {rule for rule in RULES if is_true(RULES[rule], found, name)}

            at_first, ready = await firing(), await client.get("/readyz")
            provider.is_open = True
            poll(lambda: JWKS in provider.asked)
            deadline = monotonic() + PATIENCE
            while await firing():
                assert monotonic() < deadline
            provider.is_open = False
            ticks.now += 1000
            away = await firing()
            ticks.now += issuer.GOOD_SECONDS
            for_long = await firing()
        provider.shutdown()

    assert (at_first, ready.status_code) == ({"IssuerKeysUnknown"}, 200)
    assert (away, for_long) == ({"IssuerSilent"}, {"IssuerSilent", "IssuerKeysUnknown"})
