"""Why a step will run, or be reused: what its key is made of now, beside what it was made of the last time.

Nothing is computed. Of a step whose needs will run, what it will be made of is not known yet; it waits for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mlops.actions.context import Context
from mlops.actions.wish import Wish
from mlops.adapters.index import Entry, Index
from mlops.execution import Task, detailed, key_for, ordered, passes
from mlops.pipeline import tasks
from mlops.recording import Push, Recorder
from mlops.settling import Settling
from mlops.verdict import Record
from mlops.workspace import Workspace

_DIGEST = re.compile("[0-9a-f]{64}")
_APART = ("functions", "packages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What becomes of one task: whether it runs, the reasons, and the tasks that it waits for."""

    step: str
    subject: str
    runs: bool
    because: tuple[str, ...]
    waits: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The task's name."""
        return f"{self.step}:{self.subject}" if self.subject else self.step


class _Nobody:
    def started(self, name: str) -> None: ...
    def progress(self, name: str, text: str) -> None: ...
    def finished(self, record: Record) -> None: ...


def explain(workspace: Workspace, wish: Wish, *, dirty: bool) -> tuple[Why, ...]:
    """What would become of every task of a wish, in their order; `dirty` says whether there are unsaved changes."""
    push = Push(command="explain", commit="", dirty=dirty)
    index = Index(workspace.home / "index.db")
    try:
        recorder = Recorder(workspace, push)
        settling = Settling(workspace.config, recorder)
        with Context(workspace, wish, push, recorder, index, _Nobody()) as context:
            wished = tasks(context)
            done: dict[str, Record] = {}
            return tuple(_why(workspace, index, task, done, settling) for task in _in_order(wished))
    finally:
        index.close()


def _in_order(wished: Any) -> Iterator[Task]:
    by_name = {task.name: task for task in wished}
    order = ordered(wished)
    while order.is_active():
        for name in sorted(order.get_ready()):
            yield by_name[name]
            order.done(name)


def _why(workspace: Workspace, index: Index, task: Task, done: dict[str, Record], settling: Settling) -> Why:
    waits = tuple(need for need in task.needs if need not in done)

    def said(*because: str, runs: bool = True) -> Why:
        return Why(step=task.step, subject=task.subject, runs=runs, because=because, waits=waits)

    if waits:
        return said(f"{', '.join(waits)} will run first")
    if task.ingredients is None:
        return said("it is looked at every time")
    made_of = task.ingredients({name: done[name] for name in task.needs})
    record = index.find(key_for(task, made_of))
    if record is None:
        return said(*changes(index.last(task.step, task.subject), detailed(task, made_of)))
    lost = _lost(workspace, task, record, settling)
    if lost:
        return said(lost)
    done[task.name] = record
    return said("nothing that it is made of has changed", runs=False)


def _lost(workspace: Workspace, task: Task, record: Record, settling: Settling) -> str:
    """Why a record of the right key is not used; "" where it is."""
    gone = sorted(name for name, digest in record.outputs.items() if not workspace.objects.has(digest))
    if gone:
        return f"its output {', '.join(gone)} is gone from the store"
    if not task.still(record):
        return "what it made is too old, or is not there any more"
    return "" if passes(settling.settled(record)) else "the settings are stricter now, so it is judged anew"


def changes(before: Entry | None, now: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences on what differs between what a step was made of and what it is made of now."""
    if before is None:
        return ("it was never computed here",)
    was = before.ingredients
    if not was:
        return ("what it was made of was not kept: it was computed by an older version of mlops",)
    now = msgspec.json.decode(msgspec.json.encode(now, order="deterministic", enc_hook=str))
    old, new = ({name: value for name, value in one.items() if name not in _APART} for one in (was, now))
    found = [
        *_packages(was.get("packages", {}), now["packages"]),
        *_differences("", old, new, was.get("functions", {}), now["functions"]),
    ]
    return tuple(found) or ("its key is made in another way by this version of mlops",)


def _packages(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield f"package {name}: {was.get(name, 'not asked for')} → {now.get(name, 'not asked for')}"


def _differences(
    place: str, was: Any, now: Any, functions: Mapping[str, Any], functions_now: Mapping[str, Any]
) -> Iterator[str]:
    if was == now:
        return
    if isinstance(was, dict) and isinstance(now, dict):
        for name in sorted(was.keys() | now.keys()):
            inner = f"{place} {name}".strip()
            yield from _differences(inner, was.get(name), now.get(name), functions, functions_now)
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for one, other in zip(was, now, strict=True):
            yield from _differences(place, one, other, functions, functions_now)
    elif was in _names(functions) and now in _names(functions_now):
        yield from _code(place, functions[was], functions_now[now])
    else:
        yield f"{place}: {_shown(was)} → {_shown(now)}"


def _code(place: str, was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(was.keys() | now.keys()):
        how = "is new" if name not in was else "is gone" if name not in now else "was edited"
        if was.get(name) != now.get(name):
            yield f"{place}: {name} {how}"


def _names(functions: Mapping[str, Any]) -> set[Any]:
    return set(functions)


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "none"
    text = str(value)
    return text[:12] if _DIGEST.fullmatch(text) else text
