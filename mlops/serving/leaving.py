"""The end of a worker: readiness goes first, then new connections, and what is in flight is answered."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType

DRAIN_VARIABLE = "MLOPS_DRAIN_SECONDS"
"""How long a worker that was told to end goes on answering, so that whoever balances load sees it is not ready."""


class Leaving:
    """`begun` is True from the moment the process was told to end (SIGTERM)."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.begun = False

    def heed(self) -> None:
        """From now on, take SIGTERM before the server does; called in the running event loop of the main thread."""
        server = signal.getsignal(signal.SIGTERM)
        loop = asyncio.get_running_loop()

        def told(number: int, frame: FrameType | None) -> None:
            again, self.begun = self.begun, True
            if callable(server):
                # Who tells it twice does not want to wait.
                delay = 0.0 if again else self._seconds
                loop.call_soon_threadsafe(loop.call_later, delay, server, number, frame)

        signal.signal(signal.SIGTERM, told)
