"""The service's front: a lean ASGI app that answers /predict and its neighbours, and passes on what it does not know.

The hot path is: read the body, decode it strictly, predict, encode; no framework in between.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec

from mlops.errors import OutsideError
from mlops.serving import arrow
from mlops.serving.batching import Batcher
from mlops.serving.host import Host
from mlops.serving.leaving import Leaving
from mlops.serving.metrics import CONTENT_TYPE, Metrics
from mlops.serving.openapi import document
from mlops.serving.page import page
from mlops.serving.refusal import NotFinite, Refused
from mlops.serving.runtime import MOST_ROWS, LoadedRelease

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Page = tuple[int, bytes, bytes]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON, _HTML, _PLAIN = b"application/json", b"text/html; charset=utf-8", b"text/plain; charset=utf-8"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_ROWS_IN_LOOP = 64  # more rows than this leave the event loop free for others
_OPEN = ("/livez", "/readyz")
_PASSED = "mlops.passed"
_logger = logging.getLogger("mlops.serving")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request may cost: bytes of its body, seconds to send it, seconds that a slow release may take."""

    body_bytes: int = 4 << 20
    body_seconds: float = 20.0
    answer_seconds: float = 30.0


class Front:
    """An ASGI app in front of `inner` (BentoML's own): the same token, limits and errors hold for both."""

    def __init__(
        self,
        inner: AsgiApp,
        *,
        host: Host,
        token: str | None = None,
        limits: Limits | None = None,
        leaving: Leaving | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._inner = inner
        self._host = host
        self._token = f"Bearer {token}".encode() if token else None
        self._limits = limits or Limits()
        self._leaving = leaving or Leaving(0)
        self._metrics = metrics or Metrics()
        host.tell_decisions(self._metrics.decided)
        self._beside = Batcher(self._metrics.found, seconds=self._limits.answer_seconds, worn_out=self._end)
        self._ids = new_ids()
        self._pages: dict[str, Callable[[Scope], Page]] = {
            "/": self._page,
            "/contract": self._contract,
            "/docs.json": self._docs,
            "/metrics": self._told_metrics,
            "/livez": self._alive,
            "/healthz": self._alive,
            "/readyz": self._ready,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every failure is a JSON answer without a stack trace."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        if scope.get(_PASSED):  # this is BentoML's middleware, and the front before BentoML has let it through
            await self._inner(scope, receive, send)
            return
        path = scope["path"]
        try:
            if path not in _OPEN:
                self._demand_token(scope)
                self._demand_release()
            if path == "/predict":
                await self._predict(scope, receive, send)
            elif path in self._pages:
                _demand_method(scope, "GET", "HEAD")
                await _answer(send, *self._pages[path](scope))
            else:
                await self._pass_on(scope, receive, send)
        except Refused as refused:
            await _refuse(send, refused, scope)

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        release = self._host.live
        status, rows, asked, finite = 200, 0, False, True
        try:
            _demand_method(scope, "POST")
            body = await _body(scope, receive, self._limits)
            request_id = _request_id(scope) or next(self._ids)
            release, asked = self._host.chosen(body, request_id), True
            kind = _kind(scope, body)
            answer, rows = await self._answered(release, body, request_id, kind)
            await _answer(send, 200, answer, kind)
        except Refused as refused:
            status, finite = refused.status, not isinstance(refused, NotFinite)
            raise
        except OutsideError:
            # The log names the store and the reason; an address inside is not the caller's matter.
            _logger.exception("%s could not read its stored features", release.release)
            status = 503
            raise Refused(503, "the stored features cannot be read now; try again") from None
        except Exception:
            # A fault of the release's own code: the log gets the trace, the caller does not.
            _logger.exception("%s could not answer", release.release)
            status = 500
            raise Refused(500, "the service failed to answer; its log says why") from None
        finally:
            seconds = time.perf_counter() - started
            self._metrics.count(release.release, status, rows, seconds)
            if asked:
                self._host.note(release, status, seconds, finite=finite)

    async def _answered(self, release: LoadedRelease, body: bytes, request_id: str, kind: bytes) -> tuple[bytes, int]:
        decoded = release.decoder.decode(body)
        if release.slow or len(decoded.rows) > _ROWS_IN_LOOP:
            decided = await self._beside.answer(release, decoded.rows)
        else:
            decided = release.decide(decoded.rows, None, self._metrics.found)
        self._host.told(release, body, decided, request_id)
        answers = decided.answers
        for answer in answers:
            answer["request_id"] = request_id
        if kind == arrow.MEDIA:
            return arrow.encode(answers), len(answers)
        return _encode(answers if decoded.many else answers[0]), len(answers)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let BentoML answer, on a body that is within the limit."""
        body = await _body(scope, receive, self._limits) if scope["method"] in ("POST", "PUT", "PATCH") else b""
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._inner({**scope, _PASSED: True}, replay, send)

    def _demand_token(self, scope: Scope) -> None:
        if self._token is None:
            return
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, self._token):
            raise Refused(401, "send the header 'Authorization: Bearer TOKEN'")

    def _demand_release(self) -> None:
        if not self._host.ready:
            raise Refused(503, "the service is starting")

    def _end(self, release: LoadedRelease) -> None:
        """End this worker in order where its live release hangs, as who started it would; they start another.

        Not for a canary: that one is asked no more, is seen to fail, and is taken back.
        """
        if release is self._host.live:
            os.kill(os.getpid(), signal.SIGTERM)

    def _page(self, scope: Scope) -> Page:
        live = self._host.live
        server = scope.get("server") or ("127.0.0.1", 3000)
        address = f"http://{server[0]}:{server[1]}"
        return 200, page(live.contract, live.release, address, token=self._token is not None), _HTML

    def _contract(self, _: Scope) -> Page:
        return 200, _encode(self._host.live.contract), _JSON

    def _docs(self, _: Scope) -> Page:
        live = self._host.live
        token = self._token is not None
        return (
            200,
            _encode(document(live.contract, live.golden, live.release, most_rows=MOST_ROWS, token=token)),
            _JSON,
        )

    def _told_metrics(self, _: Scope) -> Page:
        return 200, self._metrics.text(), CONTENT_TYPE

    def _alive(self, _: Scope) -> Page:
        return 200, b"alive\n", _PLAIN

    def _ready(self, _: Scope) -> Page:
        if not self._host.ready or self._leaving.begun:
            return 503, b'{"ready":false}', _JSON
        return 200, _encode({"ready": True, "release": self._host.live.release}), _JSON


def new_ids() -> Iterator[str]:
    """Ids for requests that bring none: a beginning of its own and a number.

    They are as unique as random ones, and cost no call to the system.
    """
    return map((os.urandom(8).hex() + "%016x").__mod__, count(1))


async def _body(scope: Scope, receive: Receive, limits: Limits) -> bytes:
    """The whole body; Refused 413 as soon as it is too large, 408 when it does not come."""
    headers = dict(scope["headers"])
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refused(415, "send the body as it is: no Content-Encoding is unpacked here")
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limits.body_bytes:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _received(receive, limits)
    except TimeoutError:
        raise Refused(408, f"the body did not come within {limits.body_seconds:g} seconds") from None


async def _received(receive: Receive, limits: Limits) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the connection ended before the body did")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limits.body_bytes:
            raise _too_large(limits)
        more = message.get("more_body", False)
    return b"".join(parts)


def _kind(scope: Scope, body: bytes) -> bytes:
    """What the body says it is, and is: an Arrow stream, or whatever else is read as JSON; the answer is alike."""
    media = next((value for name, value in scope["headers"] if name == b"content-type"), _JSON)
    stream = media.partition(b";")[0].strip().lower() == arrow.MEDIA
    if stream and not body.startswith(arrow.MARK):
        raise Refused(400, "the body is no Arrow stream")
    if not stream and body.startswith(arrow.MARK):
        raise Refused(415, f"an Arrow stream needs the header 'Content-Type: {arrow.MEDIA.decode()}'")
    return arrow.MEDIA if stream else _JSON


def _too_large(limits: Limits) -> Refused:
    return Refused(413, f"the body is larger than {limits.body_bytes} bytes")


def _demand_method(scope: Scope, *allowed: str) -> None:
    if scope["method"] not in allowed:
        raise Refused(405, f"{scope['path']} answers {' and '.join(allowed)} only")


def _request_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return None


async def _answer(send: Send, status: int, body: bytes, kind: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(send: Send, refused: Refused, scope: Scope) -> None:
    body = _encode(refused.body())
    headers = [(b"content-type", _JSON), (b"content-length", str(len(body)).encode())]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.status == 405:
        headers.append((b"allow", b"POST" if scope["path"] == "/predict" else b"GET, HEAD"))
    if refused.status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
