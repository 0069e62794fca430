"""What was answered to whom, kept: the decision log of one worker.

The answering path appends to a queue, and never waits. A thread takes all that is in it several times a second, and
writes it to the segment of its release (`adapters.segments`), durably; another closes segments. So of a worker that is
killed at most the last second is lost (`_EVERY`, and what the disk takes). A queue that is full, because the disk is
slower than the requests, drops decisions and counts them.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mlops.adapters.segments import OpenSegment, named, prune, prune_left, recover
from mlops.config import Decisions
from mlops.contract import Contract
from mlops.declare import duration
from mlops.errors import MlopsError
from mlops.serving.runtime import Decided, LoadedRelease
from mlops.serving.table import model_columns

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "decisions"
"""In the folder of an environment's family."""

FOLDER_VARIABLE, KEEP_VARIABLE = "MLOPS_DECISIONS", "MLOPS_DECISIONS_KEEP"
CLOSE_VARIABLE, OMIT_VARIABLE = "MLOPS_DECISIONS_CLOSE", "MLOPS_DECISIONS_OMIT"
BESIDE_VARIABLE = "MLOPS_DECISIONS_BESIDE"

_EVERY = 0.2  # seconds between two writes
_MOST_ROWS = 65_536  # that may wait to be written
_WAKE_ROWS = 8_192  # that do not wait for the next turn
_MOST_BYTES = 32 << 20  # of an open segment
_PRUNE_EVERY = 3600.0  # seconds
_STOP_SECONDS = 10.0
_KINDS = {"float": "float64", "int": "int64", "bool": "bool", "string": "string"}
_logger = logging.getLogger("mlops.serving")

Arm = Literal["live", "canary", "shadow"]
Tell = Callable[[str, str, int], None]
"""Called with a release, `written` or `dropped`, and of how many rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where decisions go, which names are left out (fields, and columns of the model), and until when they are kept.

    A segment is closed after `close`, or when it is large; one older than `keep` is removed. With `beside`, the folder
    above holds those of other services alone, which may be gone for good: what is too old there is removed as well.
    """

    folder: Path
    keep: timedelta = timedelta(days=30)
    close: timedelta = timedelta(minutes=10)
    omit: frozenset[str] = frozenset()
    beside: bool = False


def variables_of(wanted: Decisions, folder: str, *, beside: bool = False) -> dict[str, str]:
    """The variables by which a service is told what its environment keeps, and in which folder; `settings` reads them.

    All are named where nothing is kept too: what a process was given by chance must not stand in for them.
    """
    return {
        FOLDER_VARIABLE: folder if wanted.log else "",
        KEEP_VARIABLE: wanted.keep,
        CLOSE_VARIABLE: wanted.close,
        OMIT_VARIABLE: ",".join(wanted.omit),
        BESIDE_VARIABLE: "1" if beside else "",
    }


def settings(variables: Mapping[str, str]) -> Settings | None:
    """What a service's variables say of its log; None where they name no folder: then there is none."""
    folder = variables.get(FOLDER_VARIABLE)
    if not folder:
        return None
    return Settings(
        folder=Path(folder),
        keep=duration(variables.get(KEEP_VARIABLE) or "30d"),
        close=duration(variables.get(CLOSE_VARIABLE) or "10m"),
        omit=frozenset(filter(None, variables.get(OMIT_VARIABLE, "").split(","))),
        beside=bool(variables.get(BESIDE_VARIABLE)),
    )


class _Entry(NamedTuple):
    at: int  # microseconds since 1970
    request_id: str
    release: LoadedRelease
    arm: Arm
    decided: Decided


@dataclass(slots=True)
class _Kept:
    """A release's own segment, and the columns it has."""

    segment: OpenSegment
    schema: pa.Schema
    since: float = field(default_factory=time.monotonic)


class DecisionLog:
    """Takes decisions from `start` to `stop`; `tell` hears how many were written and dropped."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tell: Tell = lambda *_: None
        self._writer = os.urandom(4).hex()  # process ids come again
        self._lock = threading.Lock()
        self._waiting: list[_Entry] = []
        self._rows = 0
        self._wake = threading.Event()
        self._stopping = False
        self._kept: dict[str, _Kept] = {}
        self._thread: threading.Thread | None = None
        self._closer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="close-decisions")
        self._pruned = 0.0
        self._failing = False

    def start(self) -> None:
        """Begin to write; what workers left that died is closed first."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="decisions", daemon=True)
            self._thread.start()

    def add(self, release: LoadedRelease, arm: Arm, request_id: str, decided: Decided) -> None:
        """Let one request's answers be written; never waits for the disk."""
        rows = len(decided.answers)
        entry = _Entry(time.time_ns() // 1000, request_id, release, arm, decided)
        with self._lock:
            fits = self._rows + rows <= _MOST_ROWS
            if fits:
                self._waiting.append(entry)
                self._rows += rows
        if not fits:
            self.tell(release.release, "dropped", rows)
        elif self._rows > _WAKE_ROWS:
            self._wake.set()

    def stop(self) -> None:
        """Write what waits, and close all segments."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        self._closer.shutdown(wait=True)

    def _run(self) -> None:
        self._closer.submit(self._tidy)
        while True:
            self._wake.wait(_EVERY)
            self._wake.clear()
            stopping = self._stopping
            self._flush()
            self._close(all_=stopping)
            if stopping:
                return

    def _flush(self) -> None:
        with self._lock:
            entries, self._waiting = self._waiting, []
            self._rows = 0
        groups: dict[str, list[_Entry]] = {}
        for entry in entries:
            groups.setdefault(entry.release.release, []).append(entry)
        for name, group in groups.items():
            self._write(name, group)

    def _write(self, name: str, entries: Sequence[_Entry]) -> None:
        rows = sum(len(one.decided.answers) for one in entries)
        try:
            kept = self._kept.get(name) or self._begin(name, entries[0].release.contract)
            batch = _batch(entries, kept.schema, self.settings.omit)
            kept.segment.append(batch)
        except MlopsError as error:
            self._drop(name, rows, error.message)
        except Exception as error:
            if len(entries) > 1:  # what cannot be written must not take others along
                for one in entries:
                    self._write(name, [one])
                return
            _logger.exception("a decision of %s cannot be written", name)
            self._drop(name, rows, f"{type(error).__name__}: {error}")
        else:
            self._failing = False
            self.tell(name, "written", rows)

    def _begin(self, name: str, contract: Contract) -> _Kept:
        schema = schema_of(contract, self.settings.omit)
        segment = OpenSegment(self.settings.folder, named(datetime.now(UTC), self._writer, name), schema)
        kept = self._kept[name] = _Kept(segment, schema)
        return kept

    def _drop(self, name: str, rows: int, why: str) -> None:
        self.tell(name, "dropped", rows)
        if not self._failing:  # once, not with every request
            _logger.error("decisions are dropped, and counted: %s", why)
        self._failing = True

    def _close(self, *, all_: bool) -> None:
        oldest = time.monotonic() - self.settings.close.total_seconds()
        for name, kept in list(self._kept.items()):
            if all_ or kept.since < oldest or kept.segment.size > _MOST_BYTES:
                del self._kept[name]
                self._closer.submit(self._put_away, kept.segment)
        if time.monotonic() - self._pruned > _PRUNE_EVERY:
            self._pruned = time.monotonic()
            self._closer.submit(self._tidy)

    def _put_away(self, segment: OpenSegment) -> None:
        try:
            segment.close()
        except Exception:
            _logger.exception("a segment of decisions stays open; the next worker closes it")

    def _tidy(self) -> None:
        try:
            recover(self.settings.folder)
            # A segment holds what came until it was closed: the newest row of one begun so long ago is old as well.
            before = datetime.now(UTC) - self.settings.keep - self.settings.close
            prune(self.settings.folder, before)
            if self.settings.beside:
                prune_left(self.settings.folder.parent, before)
        except Exception:
            _logger.exception("the decisions in %s cannot be tidied", self.settings.folder)


def schema_of(contract: Contract, omit: frozenset[str]) -> pa.Schema:
    """The columns in which a release's decisions are kept: one row for each predicted row."""
    import pyarrow as pa

    label = pa.float64() if contract.task == "regression" else pa.string()
    fields = [
        ("at", pa.timestamp("us", "UTC")),
        ("request_id", pa.string()),
        ("row", pa.int32()),
        ("release", pa.string()),
        ("arm", pa.string()),
        ("prediction", label),
        ("probability", pa.float64()),
    ]
    if contract.task == "multiclass":
        fields += [(f"probability.{name}", pa.float64()) for name in contract.classes]
    for one in contract.fields:
        if one.name not in omit:
            kind = pa.timestamp("us") if one.kind == "timestamp" else pa.type_for_alias(_KINDS[one.kind])
            fields.append((f"request.{one.name}", kind))
    for column in contract.columns:
        if column.name not in omit:
            fields.append((f"feature.{column.name}", pa.float64() if column.kind == "number" else pa.string()))
    return pa.schema(fields)


def _batch(entries: Sequence[_Entry], schema: pa.Schema, omit: frozenset[str]) -> pa.RecordBatch:
    """The entries of one release as rows of its columns."""
    import pyarrow as pa

    contract = entries[0].release.contract
    answers = [answer for one in entries for answer in one.decided.answers]
    counts = [len(one.decided.answers) for one in entries]
    columns: dict[str, Any] = {
        "at": [one.at for one, count in zip(entries, counts, strict=True) for _ in range(count)],
        "request_id": [one.request_id for one, count in zip(entries, counts, strict=True) for _ in range(count)],
        "row": [row for count in counts for row in range(count)],
        "release": [one.release.release for one, count in zip(entries, counts, strict=True) for _ in range(count)],
        "arm": [one.arm for one, count in zip(entries, counts, strict=True) for _ in range(count)],
        "probability": [answer.get("probability") for answer in answers],
    }
    said = [answer["prediction"] for answer in answers]
    columns["prediction"] = said if contract.task == "regression" else [str(value) for value in said]
    if contract.task == "multiclass":
        chances = [answer.get("probabilities") or {} for answer in answers]
        for name in map(str, contract.classes):
            columns[f"probability.{name}"] = [one.get(name) for one in chances]
    columns |= _inputs(entries, contract, omit)
    arrays = [pa.array(columns[one.name], one.type, from_pandas=True) for one in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _inputs(entries: Sequence[_Entry], contract: Contract, omit: frozenset[str]) -> dict[str, Any]:
    """The request's fields and what the model was given, column by column."""
    wanted = dict.fromkeys([*(one.name for one in contract.fields), *(one.name for one in contract.columns)])
    table: dict[str, list[Any]] = {name: [] for name in wanted}
    for one in entries:
        start, source = one.decided.start, one.decided.table
        end = start + len(one.decided.answers)
        for name, values in table.items():
            found = source[name]
            values.extend(found if len(found) == end - start else found[start:end])
    columns: dict[str, Any] = {
        f"request.{one.name}": table[one.name] for one in contract.fields if one.name not in omit
    }
    given = model_columns(table, contract)
    return columns | {f"feature.{name}": values for name, values in given.items() if name not in omit}
