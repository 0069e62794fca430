"""What happened to an environment, one line of JSON per event: only ever appended to, each line durable.

`recorded.json` counts the events, from the first, that the ledger has; so the ledger may be down during a
deployment or a rollback, and gets them in order when it is back.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from mlops.adapters.files import disk_errors, sync, write_atomically
from mlops.adapters.lock import locked
from mlops.release import Event

EVENTS, RECORDED = "events.jsonl", "recorded.json"
_RECORDING = ".recording.lock"


def append(folder: Path, event: Event) -> None:
    """Add one event durably. A line that a kill left unfinished is closed first, and never read."""
    file = folder / EVENTS
    with disk_errors(file):
        folder.mkdir(parents=True, exist_ok=True)
        torn = file.exists() and file.stat().st_size > 0 and not file.read_bytes().endswith(b"\n")
        line = (b"\n" if torn else b"") + msgspec.json.encode(event) + b"\n"
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)
        sync(folder)


def read(folder: Path) -> tuple[Event, ...]:
    """The events, oldest first; `recorded` says whether the ledger has it."""
    file = folder / EVENTS
    if not file.exists():
        return ()
    events: list[Event] = []
    known = _count(folder)
    for line in file.read_bytes().split(b"\n"):
        try:
            event = msgspec.json.decode(line, type=Event)
        except msgspec.DecodeError:
            continue  # empty, or torn by a kill; what it told is in the pointer, and was added again after it
        events.append(replace(event, recorded=len(events) < known))
    return tuple(events)


def unrecorded(folder: Path) -> tuple[Event, ...]:
    """The events that the ledger has not got yet, oldest first."""
    return tuple(event for event in read(folder) if not event.recorded)


def record(folder: Path, into: Callable[[Event], bool]) -> int:
    """Hand the events that the ledger lacks to `into` in order, until it says no; gives how many it took."""
    taken = 0
    # Two at once would tell the ledger twice.
    with locked(folder / _RECORDING, "the ledger is being told of this environment"):
        for event in unrecorded(folder):
            if not into(event):
                break
            taken += 1
            write_atomically(folder / RECORDED, msgspec.json.encode(_count(folder) + 1))
    return taken


def _count(folder: Path) -> int:
    try:
        return msgspec.json.decode((folder / RECORDED).read_bytes(), type=int)
    except (FileNotFoundError, msgspec.DecodeError):
        return 0
