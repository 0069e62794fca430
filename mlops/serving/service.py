"""The BentoML service: our front before BentoML's own routes, in every worker, on BentoML's public API.

Why before and not `@bentoml.asgi_app`: BentoML lists its own routes first, so beside an app that is mounted at
`/` it still answers `/readyz` itself (before a release has answered anything), and serves `/schema.json` without
a token; its `path_prefix` moves a mounted app along with everything else. A front sees every request first: it
answers ours in fewer steps, and guards those it passes on: BentoML's typed endpoint `/v1/predict` for its clients
and `/schema.json`.

It stands in two places. `to_asgi`, which BentoML calls for the app that its server runs, puts it before all of
BentoML's middlewares: they cost as much as our answer, and the one for timeouts keeps every request in memory
until its time is over. As a middleware it stands there again, so that a BentoML which runs the service in another
way is slower, and no less guarded.

BentoML's metrics, access log and tracing cost more than the prediction, so they are off; ours are in
`mlops.serving.metrics`. Its timeout cannot be off, and bounds what the front does not.
"""

from __future__ import annotations

import gc
import os
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from mlops.serving.app import AsgiApp, Front, Limits, Receive, Scope, Send, new_ids
from mlops.serving.host import host
from mlops.serving.leaving import DRAIN_VARIABLE, Leaving
from mlops.serving.metrics import Metrics
from mlops.serving.refusal import Refused

# A few rows are too little work for a team of threads: it costs more than it brings, and workers use all cores anyway.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TOKEN_VARIABLE, BODY_VARIABLE, ANSWER_VARIABLE = "MLOPS_TOKEN", "MLOPS_BODY_BYTES", "MLOPS_ANSWER_SECONDS"

_host = host(os.environ, Path.cwd())
_leaving = Leaving(float(os.environ.get(DRAIN_VARIABLE) or 0))
_ids = new_ids()


async def leave() -> None:
    """Follow the pointer no more: others have taken over, and a deployment need not wait for this worker."""
    await _host.leave()


class _Refused(BentoMLException):  # type: ignore[misc]  # BentoML has no type hints that mypy may follow
    """A request that the typed endpoint refuses, in the words of /predict."""

    error_code = HTTPStatus.UNPROCESSABLE_ENTITY


@bentoml.service(
    name="mlops",
    workers=int(os.environ.get("MLOPS_WORKERS", "1")),
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    traffic={"timeout": 60},
)
class Service:
    """Answers for the release that is live."""

    def __init__(self) -> None:
        _host.load()
        # What is loaded stays. What waits for the decision log would make the collector look through all of it.
        gc.collect()
        gc.freeze()

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # as above
    async def follow(self) -> None:
        """Follow the environment's pointer, and hear when it is time to leave."""
        _host.watch()
        _leaving.heed()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # as above
    async def leave(self) -> None:
        """Stop following."""
        await _host.stop()

    @bentoml.api(route="/v1/predict")  # type: ignore[untyped-decorator]  # as above
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer for each row; the rows are held to the same contract as those of /predict."""
        release = _host.live
        try:
            decided = release.decide(release.decoder.convert(rows))
        except Refused as refused:
            raise _Refused(refused.reason) from None
        request_id = next(_ids)
        _host.log(release, "live", request_id, decided)
        return [{**answer, "request_id": request_id} for answer in decided.answers]


def _front(app: AsgiApp) -> Front:
    limits = Limits(
        body_bytes=int(os.environ.get(BODY_VARIABLE) or Limits().body_bytes),
        answer_seconds=float(os.environ.get(ANSWER_VARIABLE) or Limits().answer_seconds),
    )
    token = os.environ.get(TOKEN_VARIABLE) or None
    return Front(app, host=_host, token=token, limits=limits, leaving=_leaving, metrics=_metrics())


@cache
def _metrics() -> Metrics:
    """One for both places of the front: made in the worker, where BentoML has said where counts go."""
    return Metrics()


class _Guard:
    """BentoML makes one per worker, around its own app."""

    def __init__(self, app: AsgiApp) -> None:
        self._front = _front(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._front(scope, receive, send)


class _Fronted(bentoml.Service):  # type: ignore[misc]  # as above
    """BentoML's service, whose app is behind the front."""

    __slots__ = ()

    def to_asgi(self, is_main: bool = True) -> AsgiApp:  # noqa: FBT001, FBT002  # BentoML's signature
        return _front(super().to_asgi(is_main=is_main))


Service.add_asgi_middleware(_Guard)  # type: ignore[attr-defined]  # the decorator has made it a bentoml Service
Service.__class__ = _Fronted  # type: ignore[method-assign]  # the decorator makes a Service, and takes no class of ours
