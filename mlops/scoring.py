"""What a release says of a file's rows: all checked first, then part by part, then written whole.

Parts are kept until the answer is written, so that a run that was killed goes on after the last whole part. Which rows
are in a part is decided by their position alone, so the bytes are those of a run that was not killed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlops.adapters import batches, files
from mlops.contract import Contract
from mlops.errors import GateFailed, MlopsError, NothingToDo
from mlops.serving import answers
from mlops.serving.refusal import Refused
from mlops.serving.runtime import LoadedRelease, load_release
from mlops.serving.tabular import Checked, Fault, Reading, checked
from mlops.stores.asked import History, frozen

if TYPE_CHECKING:
    import pyarrow as pa

_NAMED = 10
"""Faults that an error names one by one."""
_KEPT_SECONDS = 24 * 3600.0
"""How long the parts of a run that was killed can be gone on with: later ones would mix two days' features."""

AsOf = Literal["now", "row"]
Tell = Callable[[str, int, int], None]
"""Called with what is done ("checking", "predicting"), the rows that are done, and of how many (0: not known)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is read how, by which release and as of when, and where answers go; `folder` is where parts are kept.

    `history` or `online` gives the stored features, where the release reads any. `rows` go into one part.
    """

    release: str
    contract: Contract
    given: batches.Input
    keys: tuple[str, ...]
    as_of: AsOf | None
    online: Path | None
    history: History | None
    out: Path
    bad: Path | None
    rows: int
    folder: Path

    @property
    def timestamp(self) -> str | None:
        """The column that says of which moment a row's stored features are."""
        return self.contract.timestamp if self.as_of == "row" else None

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the file that are read."""
        fields = [field.name for field in self.contract.fields]
        return tuple(dict.fromkeys([*fields, *self.keys, *([self.timestamp] if self.timestamp else [])]))

    @property
    def begun(self) -> bool:
        """Whether a part is there."""
        return self.part(0).exists()

    def batches(self) -> Iterator[pa.Table]:
        """The file's rows, as many at a time as a part has."""
        return batches.batches(self.given, self.columns, self.rows)

    def check(self, batch: pa.Table) -> Checked:
        """Its rows held to the contract."""
        reading = Reading(self.given.source, text=self.given.form == "csv")
        return checked(batch, self.contract, reading, timestamp=self.timestamp)

    def part(self, number: int) -> Path:
        """Where a part lies."""
        return self.folder / f"{number:06d}.parquet"

    def place(self, row: int, lines: Mapping[int, int]) -> str:
        """Where a row stands, for a person."""
        return f"{self.given.shown}:{lines[row]}" if row in lines else f"{self.given.shown}, row {row}"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a run that goes on must know of how it began: when (stored features are as of then), and how many rows."""

    began: float  # seconds since 1970
    rows: int
    bad: int

    @property
    def moment(self) -> str:
        """When it began, as ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.began, UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Done:
    """How a job ended: after how many rows it went on, and of each view how many values were found."""

    state: State
    resumed_after: int
    features: Mapping[str, Mapping[str, int]]


def run(job: Job, releases: Path, tell: Tell) -> Done:
    """Check all rows, predict them, and write them to `job.out`; GateFailed, with nothing written, where one is bad."""
    state = _checked_first(job, tell)
    online = frozen(job.online, job.folder / "online.sqlite") if job.online is not None else None
    release = load_release(releases, job.release, online)
    try:
        resumed = _predicted(job, release, state, tell)
        _demand_steady(job)
    finally:
        release.close()
    counts = _counted(job, state)
    _write(job, state)
    return Done(state, resumed, counts)


def _demand_steady(job: Job) -> None:
    if not job.given.steady:
        raise GateFailed(f"{job.given.shown} changed while it was read; nothing was written", next_step="run again")


def forget_old(scratch: Path) -> None:
    """Remove the parts of runs that nobody goes on with: older than a day."""
    for old in scratch.glob("predict-*"):
        if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)


# -- the check ----------------------------------------------------------------------------------------------------


def _checked_first(job: Job, tell: Tell) -> State:
    """Every row held to the contract; what a run before this one has found is believed, since the file is the same."""
    file = job.folder / "state.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=State)
    began, rows, bad = time.time(), 0, 0
    faults: list[Fault] = []
    for batch in job.batches():
        found = job.check(batch)
        named = found.faults[: _NAMED - len(faults)]
        faults += [Fault(rows + one.row, one.column, one.value, one.reason) for one in named]
        bad += len(batch) - len(found.positions)
        rows += len(batch)
        tell("checking", rows, 0)
    if not rows:
        raise NothingToDo(f"{job.given.shown} has no rows", next_step="check the export which writes it")
    if bad and (job.bad is None or bad == rows):
        raise _refused(job, faults, bad, rows)
    state = State(began=began, rows=rows, bad=bad)
    files.write_atomically(file, msgspec.json.encode(state))
    return state


def _refused(job: Job, faults: Sequence[Fault], bad: int, rows: int) -> GateFailed:
    at = batches.lines(job.given, [one.row for one in faults])
    told = [f"  {job.place(one.row, at)}: {one.column} = {one.value!r} {one.reason}" for one in faults]
    more = bad - len({one.row for one in faults})
    return GateFailed(
        "\n".join(
            [
                f"{bad:,} of {rows:,} rows are no request of {job.release}; nothing was written",
                *told,
                *([f"  and {more:,} more rows"] if more else []),
            ]
        ),
        next_step="mend them"
        if bad == rows
        else "mend them, or set them all aside, each with its reason: --skip-bad FILE",
    )


# -- the answers --------------------------------------------------------------------------------------------------


def _predicted(job: Job, release: LoadedRelease, state: State, tell: Tell) -> int:
    """Make every part that is not there; gives after how many rows that began."""
    done = resumed = 0
    for number, batch in enumerate(job.batches()):
        if job.part(number).exists():
            resumed = done + len(batch)
        else:
            _make(job, release, state, number, batch)
        done += len(batch)
        tell("predicting", done, state.rows)
    return resumed


def _make(job: Job, release: LoadedRelease, state: State, number: int, batch: pa.Table) -> None:
    first = number * job.rows
    found = job.check(batch)
    counts: dict[str, dict[str, int]] = {}

    def told(view: str, there: int, missing: int, expired: int) -> None:
        counts[view] = {"found": there, "missing": missing, "expired": expired}

    said: list[dict[str, Any]] = []
    rows = found.rows
    if rows:
        stored: Sequence[Mapping[str, Any]] | None = None
        if job.history is not None:
            stored = job.history.read(rows, told)
        elif job.online is not None:
            stored = release.read_stored(rows, told, now=state.began)
        with _placed(job, found, first):
            said = release.answer(rows, stored)
    if found.faults:
        _set_aside(job, number, found.faults)
    _demand_steady(job)  # a part of other rows would be believed by the run that goes on
    files.write_atomically(job.folder / f"{number:06d}.json", msgspec.json.encode(counts))
    batches.write_part(job.part(number), answers.table(batch, found, said, job.keys, job.contract, first=first))


@contextmanager
def _placed(job: Job, found: Checked, first: int) -> Iterator[None]:
    """A refusal, and what the release's own code raises, as an error that says which rows it was."""
    rows = [first + at for at in found.positions]
    try:
        yield
    except MlopsError:
        raise
    except Refused as refused:
        row = rows[refused.row or 0]
        raise _unanswered(job, f"{job.place(row, batches.lines(job.given, [row]))}: {refused.reason}") from refused
    except Exception as error:
        # The release's own on-demand code runs here, and may raise anything.
        where = f"{job.given.shown}, rows {rows[0]} to {rows[-1]}"
        raise _unanswered(job, f"{where}: {type(error).__name__}: {error}") from error


def _unanswered(job: Job, said: str) -> GateFailed:
    return GateFailed(
        f"{job.release} gives no answer: {said}; nothing was written",
        next_step="look at these values; the service, too, gives no answer to them",
    )


def _set_aside(job: Job, number: int, faults: Sequence[Fault]) -> None:
    import pyarrow as pa

    first = number * job.rows
    lines = batches.lines(job.given, [first + one.row for one in faults])
    told = [(first + one.row, lines.get(first + one.row), one.column, one.value, one.reason) for one in faults]
    schema = answers.bad_schema()
    table = pa.Table.from_pylist([dict(zip(schema.names, one, strict=True)) for one in told], schema=schema)
    batches.write_part(job.folder / f"{number:06d}.bad.parquet", table)


def _write(job: Job, state: State) -> None:
    """The answers and the bad rows: both appear when both are whole."""
    from pyarrow import parquet

    parts = [job.part(number) for number in range(-(-state.rows // job.rows))]
    mark = job.folder.name
    with batches.joined(job.out, parts, parquet.read_schema(parts[0]), mark=mark):
        if job.bad is not None:
            bad = sorted(job.folder.glob("*.bad.parquet"))
            with batches.joined(job.bad, bad, answers.bad_schema(), mark=mark):
                pass


def _counted(job: Job, state: State) -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = {}
    for number in range(-(-state.rows // job.rows)):
        counts: dict[str, dict[str, int]] = msgspec.json.decode((job.folder / f"{number:06d}.json").read_bytes())
        for view, count in counts.items():
            known = total.setdefault(view, dict.fromkeys(count, 0))
            for name, number_of in count.items():
                known[name] += number_of
    return total
