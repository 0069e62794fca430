"""Computes the parts of one call: reads its slice, calls the view's function, cuts what it returns, stores the pieces.

This is what another process, or another machine, is given. It finds the function by name in the project's folder, and
what goes wrong comes back as a value, so that the user's line and message arrive whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters import user_code
from mlops.adapters.objects import ObjectStore
from mlops.declare import FeatureView
from mlops.errors import GateFailed, MlopsError, OutsideError
from mlops.gates.features import judge_part
from mlops.parts.code import Place, declared_at
from mlops.parts.grid import Call, Part
from mlops.parts.rows import Rows
from mlops.stores import history
from mlops.verdict import Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One call and all that another process needs for it; `keys` names its parts as `Known` does."""

    place: Place
    rows: Rows
    store: str
    call: Call
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a call gave: the content of each part by its key, "" where it has no rows."""

    contents: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What stopped a call; `gate`: the user's code or what it returned, and not the world outside."""

    message: str
    next_step: str
    gate: bool = True

    def error(self) -> MlopsError:
        """It as an exception."""
        kind = GateFailed if self.gate else OutsideError
        return kind(self.message, next_step=self.next_step)


def compute(work: Work) -> Done | Failed:
    """Do the work; the function is found by its name."""
    try:
        return computed(_view(work), work)
    except MlopsError as error:
        return Failed(message=error.message, next_step=error.next_step, gate=not isinstance(error, OutsideError))


def computed(view: FeatureView, work: Work) -> Done:
    """Do the work with this view; raises GateFailed where it raises or returns what cannot be stored."""
    source = work.rows.read(work.call)
    frame = called(view, source, Path(work.place.root))
    return Done(contents=dict(zip(work.keys, _stored(view, frame, work), strict=True)))


def called(view: FeatureView, source: pd.DataFrame, root: Path) -> pd.DataFrame:
    """What the view's function returns; GateFailed with the line that raised, OutsideError without memory."""
    try:
        frame: pd.DataFrame = view(source)
    except MemoryError as error:
        raise OutsideError(
            f"{view.origin}: {view.name} needs more memory than there is for {len(source)} rows",
            next_step="let the view select the columns it reads first, or lower rows in [tool.mlops.engine]",
        ) from error
    except Exception as error:
        place = user_code.innermost(error, root) or str(view.origin)
        raise GateFailed(
            f"{place}: {view.name} raised {type(error).__name__}: {error}",
            next_step=f"mend that line; a test that calls {view.name} with a small frame shows it at once",
        ) from error
    return frame


def _stored(view: FeatureView, frame: pd.DataFrame, work: Work) -> list[str]:
    problems = [f for f in judge_part(view, frame) if f.outcome is Outcome.FAIL and f.severity is Severity.FAIL]
    if problems:
        raise GateFailed(problems[0].message, next_step=problems[0].next_step)
    objects = ObjectStore(Path(work.store))
    return [_piece(view, frame, part, objects) for part in work.call.parts]


def _piece(view: FeatureView, frame: pd.DataFrame, part: Part, objects: ObjectStore) -> str:
    """The rows of one part, stored; rows before it were computed without all of their past, and are another's."""
    own = frame
    if part.start is not None and len(frame):
        at = history.utc(frame[view.timestamp], view.timestamp, view).astype("int64").to_numpy()
        is_own = at >= part.start * _DAY
        if part.end is not None:
            is_own &= at < part.end * _DAY
        own = frame[is_own]
    return history.write(objects, view, own) if len(own) else ""


def _view(work: Work) -> FeatureView:
    """The view in this process; OutsideError where its code or the snapshot is not there."""
    if not Path(work.rows.file).is_file():
        raise OutsideError(
            f"a worker does not see {work.rows.file}",
            next_step="keep the project in a folder that every worker mounts at the same place",
        )
    view = declared_at(work.place)
    if not isinstance(view, FeatureView):
        raise OutsideError(f"{view.origin}: {view.name} is no feature view any more", next_step="run again")
    return view
