"""The BentoML service: our front before BentoML's own routes, in every worker, on BentoML's public API.

Why a middleware and not `@bentoml.asgi_app`: BentoML lists its own routes first, so beside an app that is
mounted at `/` it still answers `/readyz` itself (before a release has answered anything), and serves
`/schema.json` without a token; its `path_prefix` moves a mounted app along with everything else. A middleware
sees every request first: it answers ours in fewer steps, and guards those it passes on: BentoML's typed
endpoint `/v1/predict` for its clients, `/schema.json` and `/docs.json`.

BentoML's metrics, access log and tracing cost more than the prediction, so they are off; ours are in
`mlops.serving.metrics`. Its timeout cannot be off, and bounds what the front does not.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from mlops.serving.app import AsgiApp, Front, Limits, Receive, Scope, Send
from mlops.serving.host import host
from mlops.serving.refusal import Refused

TOKEN_VARIABLE, BODY_VARIABLE = "MLOPS_TOKEN", "MLOPS_BODY_BYTES"

_host = host(os.environ, Path.cwd())


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

    @bentoml.on_startup  # type: ignore[untyped-decorator]  # as above
    async def follow(self) -> None:
        """Follow the environment's pointer."""
        _host.watch()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # as above
    async def leave(self) -> None:
        """Stop following."""
        await _host.stop()

    @bentoml.api(route="/v1/predict")  # type: ignore[untyped-decorator]  # as above
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer for each row; the rows are held to the same contract as those of /predict."""
        release = _host.live
        try:
            return release.answer(release.decoder.convert(rows))
        except Refused as refused:
            raise _Refused(refused.reason) from None


class _Guard:
    """BentoML makes one per worker, around its own app."""

    def __init__(self, app: AsgiApp) -> None:
        limits = Limits(body_bytes=int(os.environ.get(BODY_VARIABLE, str(Limits().body_bytes))))
        self._front = Front(app, host=_host, token=os.environ.get(TOKEN_VARIABLE) or None, limits=limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._front(scope, receive, send)


Service.add_asgi_middleware(_Guard)  # type: ignore[attr-defined]  # the decorator has made it a bentoml Service
