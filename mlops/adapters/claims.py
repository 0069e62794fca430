"""Which of a team's machines computes a key: a claim in the shared store, renewed for as long as its holder lives.

A place can read, write, list and remove, and no two of these at once. So whoever has written a claim and then sees no
other one holds the key; whoever sees another one takes its own back and waits. Two may both take theirs back, and try
again at moments of their own; as long as a place lists what was written, two never hold a key at once.

A holder that was killed renews nothing any more. On its own machine its claim ends with it; elsewhere it is passed
over when it has stood still for a while, by the clock of who waits: clocks of two machines are not compared. Nothing
but time hangs on a claim: where none can be made, two machines compute the same, and the same result has one name.
"""

from __future__ import annotations

import contextlib
import os
import platform
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from uuid import uuid4

import msgspec

from mlops.adapters.lock import alive
from mlops.adapters.outside import outside
from mlops.adapters.place import Place
from mlops.errors import OutsideError

_FOLDER = "claims"

_FORGOTTEN = 600.0
"""Seconds after which a claim's last sign of life is too old to be waited for, whatever two clocks differ by."""

_BETWEEN = 0.25
"""Seconds between two attempts that met, at first and on average; they double with each meeting."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants a key, the machine and process that does, and the sign of life: a number, and when it was given."""

    who: str
    machine: str
    process: int
    beat: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds: between signs of life, without one until a claim is passed over, between looks, of waiting in all."""

    beat: float = 5.0
    still: float = 20.0
    look: float = 1.0
    patience: float = 3_600.0


@dataclass
class _Seen:
    """What a waiting machine has seen of the claims of one key: each claim's content, and since when it is that."""

    since: dict[str, tuple[bytes, float]] = field(default_factory=dict)

    def still(self, name: str, content: bytes) -> float:
        """For how many seconds a claim has not changed, as far as we looked."""
        known, began = self.since.get(name, (b"", 0.0))
        if known != content:
            began = time.monotonic()
            self.since[name] = content, began
        return time.monotonic() - began


class Claims:
    """One run's claims; `close` it, so that nobody waits for what it held."""

    def __init__(self, place: Place, who: str, *, pace: Pace | None = None) -> None:
        self._place, self._pace = place, pace or Pace()
        self._me = Claim(who=who, machine=machine(), process=os.getpid(), beat=0, at=time.time())
        self._token = uuid4().hex
        self._held: dict[str, Claim] = {}
        self._lock = threading.Lock()
        self._ended, self._waiting_ends = threading.Event(), threading.Event()
        self._beating: threading.Thread | None = None
        self._off = False

    def take(self, key: str, known: Callable[[], bool], waiting: Callable[[str], None] = lambda _: None) -> bool:
        """Hold a key that nobody else holds; whether we do. Waits for who does, whom `waiting` is told.

        Not held where what is wanted is `known` after a wait, where patience has run out or the run has ended, and
        where the place takes no claims: then nothing keeps others from the same.
        """
        try:
            with outside(f"a claim in the shared store at {self._place.url}"):
                return not self._off and self._taken(key, known, waiting)
        except OutsideError:  # who may read but not write claims nothing, and goes on
            self._off = True
            return False

    def release(self, key: str) -> None:
        """Let others have a key that was taken."""
        with self._lock:
            held = self._held.pop(key, None)
        if held is not None:
            with contextlib.suppress(OutsideError), outside(self._place.url):  # else it will stand still
                self._place.remove(self._name(key))

    def holders(self) -> list[str]:
        """Who holds a key now, or did so within the last minutes and has not let go of it."""
        with outside(self._place.url):
            found = [_read(self._place.read(f"{_FOLDER}/{name}") or b"") for name in self._place.names(_FOLDER)]
        return sorted({claim.who for claim in found if claim is not None and not self._dead(claim)})

    def stop_waiting(self) -> None:
        """Wait for nobody any more: the run ends."""
        self._waiting_ends.set()

    def close(self) -> None:
        """Let go of all that is held."""
        self.stop_waiting()
        self._ended.set()
        for key in list(self._held):
            self.release(key)

    def _taken(self, key: str, known: Callable[[], bool], waiting: Callable[[str], None]) -> bool:
        seen, between = _Seen(), _BETWEEN
        until = time.monotonic() + self._pace.patience
        while not self._waiting_ends.is_set() and time.monotonic() < until:
            self._put(key, self._me)
            if not self._others(key, seen):
                self._hold(key)
                return True
            self._place.remove(self._name(key))
            self._waiting_ends.wait(random.uniform(0, 2 * between))  # noqa: S311 - it keeps no secret
            between = min(2 * between, self._pace.look * 4)
            self._wait(key, seen, waiting, until)
            if known():
                return False
        return False

    def _wait(self, key: str, seen: _Seen, waiting: Callable[[str], None], until: float) -> None:
        told = ""
        while time.monotonic() < until and (others := self._others(key, seen)):
            if others[0].who != told:
                told = others[0].who
                waiting(told)
            if self._waiting_ends.wait(self._pace.look):
                return

    def _others(self, key: str, seen: _Seen) -> list[Claim]:
        """The claims of others who are alive, as far as that can be told; those of the dead are taken away."""
        found = []
        for name in sorted(self._place.names(_FOLDER)):
            place = f"{_FOLDER}/{name}"
            mine = not name.startswith(key) or place == self._name(key)
            content = None if mine else self._place.read(place)
            if content is None:
                continue
            claim = _read(content)
            if claim is None or self._dead(claim) or seen.still(name, content) > self._pace.still:
                self._place.remove(place)
            else:
                found.append(claim)
        return found

    def _dead(self, claim: Claim) -> bool:
        if claim.machine and claim.machine == self._me.machine:
            return not alive(claim.process)
        return time.time() - claim.at > _FORGOTTEN

    def _hold(self, key: str) -> None:
        with self._lock:
            self._held[key] = self._me
            if self._beating is None:
                self._beating = threading.Thread(target=self._beat, name="claims", daemon=True)
                self._beating.start()

    def _beat(self) -> None:
        while not self._ended.wait(self._pace.beat):
            for key in list(self._held):
                self._renew(key)

    def _renew(self, key: str) -> None:
        with self._lock:  # what is released meanwhile must not come back
            held = self._held.get(key)
            if held is not None:
                self._held[key] = held = msgspec.structs.replace(held, beat=held.beat + 1, at=time.time())
                with contextlib.suppress(OutsideError), outside(self._place.url):
                    self._put(key, held)

    def _put(self, key: str, claim: Claim) -> None:
        self._place.write(self._name(key), msgspec.json.encode(claim))

    def _name(self, key: str) -> str:
        return f"{_FOLDER}/{key}-{self._token}"


@cache
def machine() -> str:
    """What processes that can see each other have in common: this start of this machine, and its space of processes."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
            boot = file.read().strip()
        return f"{platform.node()} {boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - it is no file
    except OSError:
        return ""


def _read(content: bytes) -> Claim | None:
    try:
        return msgspec.json.decode(content, type=Claim)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
