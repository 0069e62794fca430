"""One worker of `mlops serve`: the service on a socket that it is given; its supervisor says when to begin and leave.

`python -m mlops.serving.worker FD` loads what the pointer names and asks it its golden requests; it takes connections
only once it is told `serve` on stdin. Told `leave`, it takes no new ones, closes each that it has after its next
answer, and ends. Where stdin ends, its supervisor has died: it drains and ends too.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType

import uvicorn

from mlops.serving.app import AsgiApp, Message, Receive, Scope, Send

SERVE, LEAVE = "serve\n", "leave\n"
LEAVE_SECONDS = 60.0
"""How long a worker that leaves waits for its connections; one that is idle for 5 seconds is closed by uvicorn."""

_LOOK_EVERY = 0.02
_CLOSE = (b"connection", b"close")


class Gate:
    """An app that has started up once that is `decide`d; while `closing`, a connection ends with its answer."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._decided = asyncio.Event()
        self._wanted = False
        self.closing = False

    def decide(self, *, wanted: bool) -> None:
        """Let it begin, or not at all; called in the event loop."""
        self._wanted = wanted
        self._decided.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or start up and shut down."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._held(send))
        elif self.closing and scope["type"] == "http":
            await self._app(scope, receive, _last(send))
        else:
            await self._app(scope, receive, send)

    def _held(self, send: Send) -> Send:
        async def told(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._decided.wait()
                if not self._wanted:
                    message = {"type": "lifespan.startup.failed", "message": "it was not wanted any more"}
            await send(message)

        return told


def _last(send: Send) -> Send:
    """Sends that the connection ends with this answer."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
        await send(message)

    return told


class Worker(uvicorn.Server):
    """uvicorn's server, with an end that fails nobody while others take over."""

    def __init__(self, config: uvicorn.Config, gate: Gate) -> None:
        super().__init__(config)
        self._gate = gate
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Until it is told to end."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._heed, args=(self._loop,), name="supervisor", daemon=True).start()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As uvicorn does; one that has not begun does not begin any more."""
        super().handle_exit(sig, frame)
        if not self.started and self._loop is not None:
            self._loop.call_soon_threadsafe(functools.partial(self._gate.decide, wanted=False))

    def _heed(self, loop: asyncio.AbstractEventLoop) -> None:
        for line in sys.stdin:
            if line == SERVE:
                loop.call_soon_threadsafe(functools.partial(self._gate.decide, wanted=True))
            elif line == LEAVE:
                asyncio.run_coroutine_threadsafe(self._leave(), loop)
        os.kill(os.getpid(), signal.SIGTERM)

    async def _leave(self) -> None:
        from mlops.serving.service import leave

        self._gate.closing = True
        if not self.started:
            self._gate.decide(wanted=False)
            return
        for server in self.servers:
            server.close()  # its copy of the socket: connections that wait there are taken by the others
        await leave()
        until = time.monotonic() + LEAVE_SECONDS
        # uvicorn tells nobody when a connection ends
        while self.server_state.connections and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY)
        self.should_exit = True


def main() -> None:
    """Serve on the socket whose number is the first argument."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format=f"%(asctime)s [%(levelname)s] [worker {os.getpid()}] %(message)s"
    )
    from mlops.serving.service import Service

    gate = Gate(Service.to_asgi(is_main=True))  # type: ignore[attr-defined]  # the decorator has made it a bentoml Service
    # Nothing here asks where a request comes from, so nobody needs to believe what a proxy says of it.
    config = uvicorn.Config(
        gate, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="on"
    )
    Worker(config, gate).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
