"""Counts and times of the requests, per release, in the words of Prometheus; added up over the workers."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """What one worker counts. BentoML gives all workers one folder to add up from, so any of them can tell for all."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter("mlops_requests", "Requests to /predict", ["release", "status"], registry=registry)
        self._rows = Counter("mlops_rows", "Rows predicted", ["release"], registry=registry)
        self._seconds = Histogram(
            "mlops_request_seconds", "Seconds from body to answer", ["release"], registry=registry, buckets=_BUCKETS
        )
        self._stored = Counter(
            "mlops_stored_reads",
            "Stored values asked for: found, missing, or past their time to live",
            ["view", "outcome"],
            registry=registry,
        )
        self._decided = Counter(
            "mlops_decisions",
            "Predicted rows that the decision log has written, and dropped",
            ["release", "outcome"],
            registry=registry,
        )
        self._of = cache(self._children)
        self._reads_of = cache(self._reads)

    def count(self, release: str, status: int, rows: int, seconds: float) -> None:
        """Note one answered request."""
        requests, predicted, took = self._of(release, status)
        requests.inc()
        if rows:
            predicted.inc(rows)
        took.observe(seconds)

    def found(self, view: str, hits: int, missing: int, expired: int) -> None:
        """Note what a request found of a view: `hit`, `missing` and `expired` values."""
        for counter, count in zip(self._reads_of(view), (hits, missing, expired), strict=True):
            if count:
                counter.inc(count)

    def decided(self, release: str, outcome: str, rows: int) -> None:
        """Note what became of decisions: `written` to the log, or `dropped`."""
        self._decided.labels(release, outcome).inc(rows)

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess

        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client has no hints there
        return generate_latest(registry)

    def _children(self, release: str, status: int) -> tuple[Any, Any, Any]:
        return self._requests.labels(release, status), self._rows.labels(release), self._seconds.labels(release)

    def _reads(self, view: str) -> tuple[Any, ...]:
        return tuple(self._stored.labels(view, outcome) for outcome in ("hit", "missing", "expired"))
