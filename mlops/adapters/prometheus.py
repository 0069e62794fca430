"""What a running service counts, read from its /metrics."""

from __future__ import annotations

from collections.abc import Mapping

from mlops.errors import OutsideError

Counts = Mapping[str, float]
"""By the sample's name and labels, written as Prometheus writes them: `mlops_rows_total{release="churn_v1-…"}`."""


def scrape(address: str, *, token: str | None = None, seconds: float = 5.0) -> Counts:
    """Every sample at `address`/metrics; OutsideError where nothing readable comes back."""
    import requests
    from prometheus_client.parser import text_string_to_metric_families

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{address}/metrics"
    try:
        answer = requests.get(url, headers=headers, timeout=seconds)
    except requests.RequestException as error:
        raise OutsideError(f"{url} does not answer: {error}", next_step="look whether the service runs") from error
    if answer.status_code != 200:
        raise OutsideError(
            f"{url} answers {answer.status_code}",
            next_step="set the variable that [tool.mlops.environments.ENV] token_env names"
            if answer.status_code == 401
            else "look into the service's log",
        )
    try:
        families = list(text_string_to_metric_families(answer.text))
    except ValueError as error:
        raise OutsideError(f"{url} is no Prometheus text: {error}", next_step="look what listens there") from error
    samples = (sample for family in families for sample in family.samples)
    return {written(one.name, one.labels): float(one.value) for one in samples}


def written(name: str, labels: Mapping[str, str]) -> str:
    """A sample's name and labels as a key."""
    return name + "{" + ",".join(f'{key}="{labels[key]}"' for key in sorted(labels)) + "}"


def labels_of(key: str, name: str) -> dict[str, str] | None:
    """The labels of a key of that sample; None of another sample."""
    import re

    if not key.startswith(f"{name}{{"):
        return None
    return dict(re.findall(r'(\w+)="([^"]*)"', key))
