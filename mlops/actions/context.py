"""What the actions of one wish share: where they work, what several of them look up, and deepchecks, started once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from mlops import champion
from mlops.actions.wish import Wish
from mlops.adapters.deepchecks import Deepchecks
from mlops.adapters.index import Index
from mlops.config import ModelSettings
from mlops.declare import Model
from mlops.execution import Observer, Records
from mlops.recording import Push, Recorder
from mlops.release import Manifest
from mlops.verdict import Record
from mlops.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a task does with the records it needs; the fields are those of `execution.Task`."""

    version: int
    run: Callable[[Records], Record]
    ingredients: Callable[[Records], Mapping[str, Any]] | None
    still: Callable[[Record], bool] = lambda _: True
    recorded: bool = True


class Context:
    """One wish, and what its actions work with; a context manager."""

    def __init__(
        self, workspace: Workspace, wish: Wish, push: Push, recorder: Recorder, index: Index, observer: Observer
    ) -> None:
        self.workspace = workspace
        self.wish = wish
        self.push = push
        self.recorder = recorder
        self.index = index
        self.observer = observer
        self._deepchecks: Deepchecks | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Ready; deepchecks starts with the first computed step."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started."""
        if self._deepchecks is not None:
            self._deepchecks.close()

    def deepchecks(self) -> Deepchecks | None:
        """deepchecks, which starts when it is first asked for; None where the configuration does without it."""
        with self._lock:
            if self._deepchecks is None and self.workspace.config.deepchecks:
                self._deepchecks = Deepchecks(self.workspace.scratch)
            return self._deepchecks

    def settings(self, model: Model) -> ModelSettings:
        """A model's settings."""
        return self.workspace.config.settings(model.family, model.name)

    def champion(self, model: Model, work: Record) -> Manifest | None:
        """The release that a model is compared with, given its work; None where there is none."""
        return champion.against(self.workspace, model.family, self.wish.environment, work)

    def read_at(self, done: Records, began: float) -> dict[str, float]:
        """When each source was read. A file that is unchanged was read now, as far as its content goes."""
        files = {name for name, source in self.workspace.config.sources.items() if source.path is not None}
        return {r.subject: began if r.subject in files else r.started for r in done.values() if r.step == "snapshot"}
