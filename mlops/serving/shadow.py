"""A release that is asked what the live one is asked, beside the answering path, and answers nobody."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlops.serving.runtime import Decided, LoadedRelease
from mlops.serving.tally import Compared

_WAITING = 256  # requests; what comes beyond is missed, and counted
_ROWS = 64  # a request with more is missed: it would hold up the others
_SAME = 0.01  # relative difference of an amount below which it is the same answer
_logger = logging.getLogger("mlops.serving")

Answers = Sequence[Mapping[str, Any]]


class Shadow:
    """Asks `release` in a thread of its own until `stop`; `compared` counts what came of it.

    `tell` hears each answer, and the id of the request.
    """

    def __init__(self, release: LoadedRelease, tell: Callable[[Decided, str], None] = lambda *_: None) -> None:
        self.release = release
        self._tell = tell
        self.compared = Compared()
        self._waiting: queue.Queue[tuple[bytes, Answers, str] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, body: bytes, answers: Answers, request_id: str = "") -> None:
        """Let the shadow be asked too, when its turn comes; never waits."""
        if len(answers) > _ROWS or self._waiting.full():
            self.compared.missed += 1
            return
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait((body, answers, request_id))

    def stop(self) -> None:
        """Ask nothing more."""
        with contextlib.suppress(queue.Full):
            while True:
                with contextlib.suppress(queue.Empty):
                    self._waiting.get_nowait()
                    continue
                break
            self._waiting.put_nowait(None)

    def _run(self) -> None:
        while (asked := self._waiting.get()) is not None:
            try:
                said = self.release.decide(self.release.decoder.decode(asked[0]).rows)
                self._compare(asked[1], said.answers)
                self._tell(said, asked[2])
            except Exception as error:  # noqa: BLE001 - whatever a shadow raises, it is a failure to count
                self.compared.failed += 1
                _logger.warning("the shadow %s failed: %s", self.release.release, error)

    def _compare(self, live: Answers, said: Answers) -> None:
        gap = max(_gap(one, other) for one, other in zip(live, said, strict=True))
        self.compared.gap = max(self.compared.gap, gap)
        self.compared.gaps += gap
        if all(_same(one, other) for one, other in zip(live, said, strict=True)):
            self.compared.same += 1
        else:
            self.compared.different += 1


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    mine, theirs = one["prediction"], other["prediction"]
    if isinstance(mine, float) and isinstance(theirs, float):
        return abs(mine - theirs) <= _SAME * max(abs(mine), abs(theirs))
    return bool(mine == theirs)


def _gap(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    name = "probability" if "probability" in one else "prediction"
    mine, theirs = one.get(name), other.get(name)
    if isinstance(mine, float) and isinstance(theirs, float):
        return abs(mine - theirs)
    return float(one["prediction"] != other.get("prediction"))
