"""Brings a view's history up to date: cuts its source into parts, computes those that are not known, gathers all.

Each part is remembered as soon as it is stored, so what was killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from mlops.adapters import processes, trust
from mlops.adapters.lock import locked
from mlops.closure import code_digest
from mlops.declare import FeatureView
from mlops.errors import UsageError
from mlops.gates.features import judge_part
from mlops.gates.properties import ROWS, ROWS_EACH
from mlops.gates.separable import separable, window
from mlops.gates.trying import attempt
from mlops.keys import key_of
from mlops.parts.code import place_of
from mlops.parts.computing import Done, Failed, Work, compute, computed
from mlops.parts.grid import Call, Grid, Slice, calls, choose, slices
from mlops.parts.known import Known
from mlops.parts.rows import Rows, shape
from mlops.verdict import Finding, Outcome
from mlops.workspace import Workspace

VERSION = 1
FILE = "parts.db"
_WAITS = 6 * 3600.0
"""Seconds to wait for another process that computes the same view; its parts are known then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """By what a view may be cut, tried on a sample; `why` it may not by entity, or by time."""

    entity: bool
    window: timedelta | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A history in parts: the names of those with rows, how many were computed, and how they were cut."""

    names: tuple[str, ...]
    parts: int
    computed: int
    calls: int
    rows_read: int
    grid: Grid
    proof: Proof


def parts_file(home: Path) -> Path:
    """Where parts are remembered: those of a fork's run apart, so that no other run uses them."""
    return home / (f"fork-{FILE}" if trust.fork() else FILE)


def forget_parts(workspace: Workspace, view: FeatureView) -> None:
    """Forget what is computed of a view, so that the next call computes it anew."""
    Known(parts_file(workspace.home)).forget(view.name)


def build(
    workspace: Workspace, view: FeatureView, data: Path, *, time: str | None, progress: Callable[[str], None]
) -> Built | Proof:
    """The parts of a view over the snapshot `data`; the proof alone where it cannot be computed in parts.

    Raises what stopped a call: GateFailed for the user's function, OutsideError for the rest. What is done is kept.
    """
    table = Rows(file=str(data), entity=view.entity, time=time)
    proof = prove(view, table)
    if not proof.entity and proof.window is None:
        return proof
    known = Known(parts_file(workspace.home))
    cut = table if proof.window is not None else replace(table, time=None)
    with locked(workspace.home / "locks" / f"{view.name}.lock", f"{view.name} is being computed", seconds=_WAITS):
        grid = choose(
            cut.extent(),
            most=workspace.config.engine.rows,
            entity=proof.entity,
            window=proof.window,
            known=known.grid(view.name),
        )
        known.cut(view.name, grid)
        return _Building(workspace, view, replace(cut, buckets=grid.buckets), known, progress).run(grid, proof)


def prove(view: FeatureView, table: Rows) -> Proof:
    """By what the view may be cut: the properties that check-features tries too, on a sample of this table."""
    columns = table.columns()
    if view.entity not in columns:
        return Proof(entity=False, window=None, why=f"the source has no column {view.entity!r}")
    rows = table.sample(most=ROWS, each=ROWS_EACH)
    frame = attempt(view, rows.copy())
    if isinstance(frame, Finding):
        return Proof(entity=False, window=None, why=frame.message)
    wrong = [f.message for f in judge_part(view, frame) if f.outcome is Outcome.FAIL]
    if wrong:
        return Proof(entity=False, window=None, why=wrong[0])
    apart, old = separable(view, rows, frame), window(view, rows, frame, table.time)
    by_window = view.window if old is not None and old.outcome is Outcome.PASS else None
    said = [f.message for f in (apart, old) if f is not None and f.outcome is not Outcome.PASS]
    return Proof(entity=apart.outcome is Outcome.PASS, window=by_window, why="; ".join(said))


@dataclass(frozen=True)
class _Building:
    """One view being brought up to date."""

    workspace: Workspace
    view: FeatureView
    rows: Rows
    known: Known
    progress: Callable[[str], None]

    def run(self, grid: Grid, proof: Proof) -> Built:
        cells = self.rows.cells()
        keys = self._keys(slices(cells, grid, proof.window))
        contents = self._present(keys)
        missing = [one for key, one in keys.items() if key not in contents]
        wanted = calls(missing, cells, most=self.workspace.config.engine.rows)
        places = {one.part: key for key, one in keys.items()}
        works = [self._work(call, [places[part] for part in call.parts]) for call in wanted]
        self._say(len(contents), len(keys))
        for done in self._computed(works):
            self.known.add(self.view.name, dict(done.contents))
            contents |= done.contents
            self._say(len(contents), len(keys))
        return Built(
            names=tuple(sorted({content for key, content in contents.items() if content})),
            parts=len(keys),
            computed=len(missing),
            calls=len(works),
            rows_read=sum(call.rows for call in wanted),
            grid=grid,
            proof=proof,
        )

    def _say(self, done: int, parts: int) -> None:
        self.progress(f"{done:,} of {parts:,} parts")

    def _keys(self, found: Sequence[Slice]) -> dict[str, Slice]:
        """Each part by the digest of all that it depends on."""
        view = self.view
        same = {
            "subject": view.name,
            "version": VERSION,
            "code": code_digest(view, self.workspace.root),
            "declared": [view.source, *view.keys, sorted(view.columns)],
            "shape": shape(Path(self.rows.file)),
        }
        return {
            key_of("build-features", {**same, "part": [s.part.start, s.part.end, s.since], "rows": s.digest}): s
            for s in found
        }

    def _present(self, keys: dict[str, Slice]) -> dict[str, str]:
        objects = self.workspace.objects
        found = self.known.contents(keys)
        return {key: content for key, content in found.items() if not content or objects.has(content)}

    def _work(self, call: Call, keys: Sequence[str]) -> Work:
        return Work(
            place=place_of(self.view, self.workspace.root),
            rows=self.rows,
            store=str(self.workspace.objects.root),
            call=call,
            keys=tuple(keys),
        )

    def _computed(self, works: Sequence[Work]) -> Iterator[Done]:
        with closing(self._each(works)) as results:
            for result in results:
                if isinstance(result, Failed):
                    raise result.error()
                yield result

    def _each(self, works: Sequence[Work]) -> Generator[Done | Failed]:
        engine = self.workspace.config.engine
        if engine.kind == "dask" and works:
            if not engine.address:
                raise UsageError(
                    '[tool.mlops.engine] kind = "dask" needs an address', next_step='write address = "tcp://HOST:8786"'
                )
            from mlops.adapters import dask

            yield from dask.each(compute, _single(works), address=engine.address)
            return
        workers = min(engine.workers or processes.cores(), len(works))
        if workers > 1:
            yield from processes.each(compute, _single(works), workers=workers)
        else:
            yield from map(partial(computed, self.view), works)


def _single(works: Sequence[Work]) -> list[Work]:
    """Each reads with one thread, for the others have work of their own."""
    return [replace(work, rows=replace(work.rows, threads=1)) for work in works]
