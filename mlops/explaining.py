"""Why a step will run, or be reused: what its key is made of now, beside what it was made of the last time.

Nothing is computed, and nothing is brought here from the team's store. Of a step whose needs will run, what it will be
made of is not known yet; it waits for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from mlops.actions.context import Context
from mlops.actions.wish import Wish
from mlops.adapters.index import Entry, Index
from mlops.execution import Task, detailed, key_for, ordered, passes
from mlops.pipeline import tasks
from mlops.recording import Push, Recorder
from mlops.reuse import Reuse, team
from mlops.settling import Settling
from mlops.verdict import Record
from mlops.workspace import Workspace

_DIGEST = re.compile("[0-9a-f]{64}")
_APART = ("functions", "packages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What becomes of one task: whether it runs, why it is not reused from here, and the tasks that it waits for.

    `place` is the address of the team's store where what it would compute is found.
    """

    step: str
    subject: str
    runs: bool
    because: tuple[str, ...]
    waits: tuple[str, ...] = ()
    place: str = ""

    @property
    def name(self) -> str:
        """The task's name."""
        return f"{self.step}:{self.subject}" if self.subject else self.step


class _Nobody:
    def started(self, name: str) -> None: ...
    def progress(self, name: str, text: str) -> None: ...
    def finished(self, record: Record) -> None: ...


def explain(workspace: Workspace, wish: Wish, *, dirty: bool) -> tuple[tuple[Why, ...], tuple[str, ...]]:
    """What would become of every task of a wish, in their order; and what went wrong with the team's store, if it did.

    `dirty` says whether there are unsaved changes.
    """
    push = Push(command="explain", commit="", dirty=dirty)
    index = Index(workspace.home / "index.db")
    reuse = Reuse(index, workspace.objects, shared=lambda: team(workspace, push.command))
    try:
        recorder = Recorder(workspace, push)
        settling = Settling(workspace.config, recorder)
        with Context(workspace, wish, push, recorder, index, _Nobody()) as context:
            asking = _Asking(workspace, index, reuse, settling)
            found = tuple(asking.why(task) for task in _in_order(tasks(context)))
        return found, reuse.close()
    finally:
        reuse.close()
        index.close()


def _in_order(wished: Any) -> Iterator[Task]:
    by_name = {task.name: task for task in wished}
    order = ordered(wished)
    while order.is_active():
        for name in sorted(order.get_ready()):
            yield by_name[name]
            order.done(name)


@dataclass
class _Asking:
    """One task after the other is asked; `done` are the records of those that will be reused."""

    workspace: Workspace
    index: Index
    reuse: Reuse
    settling: Settling
    done: dict[str, Record] = field(default_factory=dict)

    def why(self, task: Task) -> Why:
        waits = tuple(need for need in task.needs if need not in self.done)
        said = partial(Why, step=task.step, subject=task.subject, waits=waits)
        if waits:
            return said(runs=True, because=(f"{', '.join(waits)} will run first",))
        if task.ingredients is None:
            return said(runs=True, because=("it is looked at every time",))
        made_of = task.ingredients({name: self.done[name] for name in task.needs})
        key = key_for(task, made_of)
        record = self.index.find(key)
        if record is None:
            because = changes(self.index.last(task.step, task.subject), detailed(task, made_of))
        else:
            lost = self._lost(task, record)
            because = (lost,) if lost else ("nothing that it is made of has changed",)
            if not lost:
                self.done[task.name] = record
                return said(runs=False, because=because)
        place = self._elsewhere(task, key)
        return said(runs=not place, because=because, place=place)

    def _lost(self, task: Task, record: Record) -> str:
        """Why a record of the right key is not used; "" where it is."""
        objects = self.workspace.objects
        gone = sorted(name for name, digest in record.outputs.items() if not objects.has(digest))
        return f"its output {', '.join(gone)} is gone from the store" if gone else self._unfit(task, record)

    def _unfit(self, task: Task, record: Record) -> str:
        if not task.still(record):
            return "what it made is too old, or is not there any more"
        return "" if passes(self.settling.settled(record)) else "the settings are stricter now, so it is judged anew"

    def _elsewhere(self, task: Task, key: str) -> str:
        """The address at which the team's store has what this step would compute; "" where it has not."""
        found = self.reuse.elsewhere(key)
        if found is None or self._unfit(task, found[0]):
            return ""
        self.done[task.name] = found[0]
        return found[1]


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
