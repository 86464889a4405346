"""The rules that are shipped, read as Prometheus reads them."""

import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

ALERTS = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"
_EXPRESSION = re.compile(r'(\w+)(?:\{job="prag"\})? (>|<) (\d+)')

RULES: dict[str, str] = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load(ALERTS.read_text())["groups"]
    for rule in group["rules"]
}

ONLY_OF = {
    "prag_custody_forks": "referral",
    "prag_peers_to_hear": "referral",
    "prag_exchange_begun_anew": "referral",
}
"""What one service measures; the others all do."""

NOT_ALWAYS = {
    "prag_audit_unsealed",
    "prag_archive_fails",
    "prag_archive_off",
    "prag_letters_wait_seconds",
    "prag_letters_unheard_seconds",
    "prag_own_key_days",
    "prag_issuer_keys_age_seconds",
    "prag_exchange_begun_anew",
}
"""What is told only of countries, keys, or a server, of which there is something to tell; or by a worker."""


def read(text: str, service: str) -> dict[str, dict[str, float]]:
    """Return what a scraper that was answered with this text knows of a service."""
    found: dict[str, dict[str, float]] = {"up": {"": 1}}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("service") == service:
                of = sample.labels.get("topic") or sample.labels.get("of", "")
                found.setdefault(sample.name, {})[of] = sample.value
    return found


def is_true(rule: str, found: dict[str, dict[str, float]], service: str) -> bool:
    if rule == 'absent(up{job="prag"})':
        return "up" not in found
    match = _EXPRESSION.fullmatch(rule)
    assert match is not None, f"{rule}: the test reads one comparison only"
    metric, sign, bound = match.groups()
    if service not in ONLY_OF.get(metric, service):
        return False
    values = (found.get(metric, {}) if metric in NOT_ALWAYS else found[metric]).values()
    return any(v > float(bound) if sign == ">" else v < float(bound) for v in values)
