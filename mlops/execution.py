"""Runs tasks in the order of their needs, side by side, and never twice.

A task names what it needs and what its key is made of. A key that is in the index, with all its outputs
in the store, is not computed again. After a gate has said no, judging goes on, so that one report names
every fault at once, but nothing more is built.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol

import msgspec

from mlops.adapters.files import no_space
from mlops.adapters.index import Index
from mlops.adapters.memory import Meter
from mlops.adapters.objects import ObjectStore, Spoilt
from mlops.closure import listed
from mlops.errors import Changed, GateFailed, MlopsError, OutsideError
from mlops.keys import environment, key_of, texts
from mlops.reuse import Reuse
from mlops.verdict import Outcome, Record

Records = Mapping[str, Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A step on a subject. `needs` are tasks whose records it reads, `after` tasks that must only be over.

    `version` is the step's own: it rises when the step's meaning changes, and with it every key. `ingredients` gives
    what else the key is made of, out of the needs' records; None: the task runs every time.
    `judging` tasks go on after a gate has said no; building ones do not start. `still` says whether what an
    earlier record tells of is there outside the store. `recorded` is off for what writes its own events.
    """

    step: str
    subject: str
    version: int = 1
    run: Callable[[Records], Record]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    ingredients: Callable[[Records], Mapping[str, Any]] | None = None
    judging: bool = False
    still: Callable[[Record], bool] = lambda _: True
    recorded: bool = True

    @property
    def name(self) -> str:
        """`step:subject`."""
        return f"{self.step}:{self.subject}" if self.subject else self.step


class Observer(Protocol):
    """Who is told how the run goes: the command line's display, or nobody."""

    def started(self, name: str) -> None:
        """A task is being computed."""

    def progress(self, name: str, text: str) -> None:
        """A task has something to say."""

    def finished(self, record: Record) -> None:
        """A task is over: computed or reused."""


class Recorder(Protocol):
    """Who keeps the records of computed tasks: the ledger."""

    def warm(self) -> None:
        """Something will be computed: get ready."""

    def record(self, record: Record) -> None:
        """Keep a finished record; raises what went wrong with keeping earlier ones."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended: the records in order of their ends, tasks never started, the first error."""

    records: tuple[Record, ...]
    skipped: tuple[str, ...] = ()
    errors: tuple[MlopsError, ...] = ()


@dataclass
class _State:
    done: dict[str, Record] = field(default_factory=dict)
    ended: list[Record] = field(default_factory=list)
    errors: list[MlopsError] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    stopped: bool = False


class Executor:
    """Runs tasks against one index, one store and one recorder."""

    def __init__(
        self,
        index: Index,
        objects: ObjectStore,
        recorder: Recorder,
        observer: Observer,
        *,
        settle: Callable[[Record], Record] = lambda record: record,
        reuse: Reuse | None = None,
        steady: Callable[[], None] = lambda: None,
    ) -> None:
        """Ready; `settle` gives a record's verdict as settings and people want it, each time that it is used.

        `reuse` knows what was computed before, on this machine alone unless it is given. `steady` raises where what the
        whole run stands on, its settings, has changed meanwhile.
        """
        self._steady = steady
        self._settle = settle
        self._reuse = reuse or Reuse(index, objects)
        self._recorder = recorder
        self._observer = observer

    def run(self, tasks: Sequence[Task], *, workers: int = 4) -> Run:
        """Run all tasks; MlopsErrors are collected, anything else is a bug and is raised.

        Where an output of an earlier run turns out to be corrupt or gone, what made it is computed anew, once.
        """
        ended = self._once(tasks, workers)
        spoilt = [error for error in ended.errors if isinstance(error, Spoilt)]
        for error in spoilt:
            self._reuse.forget_all_with(error.digest)
        return self._once(tasks, workers) if spoilt else ended

    def _once(self, tasks: Sequence[Task], workers: int) -> Run:
        by_name = {task.name: task for task in tasks}
        order = ordered(tasks)
        state = _State()
        running: dict[Future[Record], Task] = {}
        pool = ThreadPoolExecutor(workers, thread_name_prefix="step")
        try:
            while order.is_active():
                for name in order.get_ready():
                    self._start(by_name[name], state, running, pool, order)
                if running:
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        self._end(running.pop(future), future, state, order)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return Run(tuple(state.ended), tuple(n for n in by_name if n in state.lost), tuple(state.errors))

    def _start(
        self,
        task: Task,
        state: _State,
        running: dict[Future[Record], Task],
        pool: ThreadPoolExecutor,
        order: TopologicalSorter[str],
    ) -> None:
        blocked = any(need not in state.done for need in task.needs)
        if blocked or (state.stopped and not task.judging):
            state.lost.add(task.name)
            order.done(task.name)
            return
        needs = {name: state.done[name] for name in task.needs}
        running[pool.submit(self._compute, task, needs)] = task

    def _end(self, task: Task, future: Future[Record], state: _State, order: TopologicalSorter[str]) -> None:
        try:
            record = future.result()
        except MlopsError as error:
            state.errors.append(error)
            state.lost.add(task.name)
            state.stopped = True
        else:
            state.ended.append(record)
            state.done[task.name] = record
            self._observer.finished(record)
            if record.verdict is not None and not record.verdict.accepted:
                state.stopped = True
                if not task.judging:
                    del state.done[task.name]
        order.done(task.name)

    def _compute(self, task: Task, needs: Records) -> Record:
        made_of = None if task.ingredients is None else task.ingredients(needs)
        key = key_for(task, made_of)
        known = self._known(key, task)
        if known is not None:
            return known
        with self._reuse.alone(key, task.step, partial(self._waiting, task.name)) as look:
            known = self._known(key, task) if look else None  # what another one has computed meanwhile
            return known or self._made(task, needs, made_of, key)

    def _waiting(self, name: str, who: str) -> None:
        self._observer.progress(name, f"waits: {who} computes it")

    def _made(self, task: Task, needs: Records, made_of: Mapping[str, Any] | None, key: str) -> Record:
        if task.recorded:
            self._recorder.warm()
        self._observer.started(task.name)
        began, clock = time.time(), time.monotonic()
        with Meter() as meter:
            record = _result(task, needs)
        self._demand_steady(task, needs, made_of)
        record = dataclasses.replace(
            record,
            key=key,
            started=began,
            seconds=time.monotonic() - clock,
            inputs=_given(needs),
            code=_code(made_of),
            memory=dataclasses.asdict(meter.peak),
        )
        settled = self._settle(record)
        if key and passes(settled):
            self._reuse.keep(record, detailed(task, made_of or {}))
        if task.recorded:
            self._record(settled)
        return settled

    def _demand_steady(self, task: Task, needs: Records, made_of: Mapping[str, Any] | None) -> None:
        """Raise OutsideError where what a task is made of is not what it was when it began: its key would be a lie."""
        if made_of is None:
            return
        self._steady()
        now = task.ingredients(needs) if task.ingredients is not None else {}
        moved = sorted(name for name in {*made_of, *now} if _said(made_of.get(name)) != _said(now.get(name)))
        if moved:
            raise Changed(f"{task.name}: {', '.join(moved)}")

    def _record(self, record: Record) -> None:
        try:
            self._recorder.record(record)
        except MlopsError:
            # A "no" is told first, and stops the run; that the ledger failed is told when it is closed.
            if record.verdict is None or record.verdict.accepted:
                raise

    def _known(self, key: str, task: Task) -> Record | None:
        record = self._reuse.find(key, task.step, task.still)
        if record is None:
            return None
        settled = self._settle(dataclasses.replace(record, reused=True))
        if not passes(settled):  # the settings are stricter now: it is judged anew
            return None
        self._reuse.touch(key)
        return settled


def passes(record: Record) -> bool:
    """Whether a record may be used again: a "no" is judged anew, and so is what a person lets pass for a while."""
    return record.verdict is None or record.verdict.outcome is Outcome.PASS


def detailed(task: Task, made_of: Mapping[str, Any]) -> dict[str, Any]:
    """What a key is made of, as it is kept beside its record: with packages, and code function by function."""
    functions = {digest: found for digest in texts(made_of) if (found := listed(digest))}
    rest = {name: value for name, value in made_of.items() if name != "uses"}
    packages = {**environment(task.step), **made_of.get("uses", {})}
    return {**rest, "version": task.version, "packages": packages, "functions": functions}


def key_for(task: Task, made_of: Mapping[str, Any] | None) -> str:
    """The key of a task that is made of this; "" for one that runs every time."""
    if made_of is None:
        return ""
    return key_of(task.step, {"subject": task.subject, "version": task.version, **made_of})


def _said(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic", enc_hook=str)


def _given(needs: Records) -> dict[str, str]:
    """Pointers to what a task was given: each output of what it needs, with its digest."""
    return {f"{name}/{output}": digest for name, one in needs.items() for output, digest in one.outputs.items()}


def _code(made_of: Mapping[str, Any] | None) -> dict[str, str]:
    """The code that a task calls, function by function; empty where its key names none."""
    code = (made_of or {}).get("code", {})
    return dict(code) if isinstance(code, Mapping) else {}


def _result(task: Task, needs: Records) -> Record:
    try:
        return task.run(needs)
    except SystemExit as error:  # a user's function asked for it; leaving with its code could look like a pass
        raise GateFailed(
            f"{task.name} was ended by sys.exit({error.code!r}) in the code that it calls",
            next_step="let that code raise an exception that says what is wrong",
        ) from error
    except Exception as error:
        if isinstance(error, MlopsError) or not no_space(error):
            raise
        where = getattr(error, "filename", None) or "what it writes"
        raise OutsideError(
            f"no space left: {task.name} could not write {where}", next_step="free some space, then run again"
        ) from error


def ordered(tasks: Sequence[Task]) -> TopologicalSorter[str]:
    """The names of tasks in the order of their needs."""
    names = {task.name for task in tasks}
    order = TopologicalSorter({t.name: [n for n in (*t.needs, *t.after) if n in names] for t in tasks})
    try:
        order.prepare()
    except CycleError as error:  # the pipeline's order is ours alone
        raise AssertionError(f"tasks need each other: {error.args[1]}") from error
    return order
