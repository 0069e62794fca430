"""What a verdict means today: under the severities of the configuration, and with what a person lets pass.

Applied each time that a record is used, so that a stricter setting, or the end of an override, is heeded at once.
"""

from __future__ import annotations

import dataclasses
import threading
from datetime import UTC, datetime

from mlops.config import Config
from mlops.errors import OutsideError
from mlops.gates.overrides import in_force, overridable, overridden
from mlops.gates.severities import apply
from mlops.recording import Recorder
from mlops.steps.override import LONGEST
from mlops.verdict import Override, Record


class Settling:
    """Settles the records of one run; the ledger is asked for overrides at most once, and after a "no" alone."""

    def __init__(self, config: Config, recorder: Recorder) -> None:
        self._config = config
        self._recorder = recorder
        self._asking = threading.Lock()
        self._in_force: tuple[Override, ...] | None = None

    def settled(self, record: Record) -> Record:
        """The record with the severities of the configuration, and with what a person lets pass as overridden.

        A step that built nothing has nothing to go on with.
        """
        if record.verdict is None:
            return record
        judged = apply(record.verdict.findings, self._config.severity)
        verdict = dataclasses.replace(record.verdict, findings=judged)
        builds = not record.step.startswith("check-")
        if not verdict.accepted and overridable(verdict) and (record.outputs or not builds):
            verdict = overridden(verdict, self._overrides())
        return dataclasses.replace(record, verdict=verdict)

    def _overrides(self) -> tuple[Override, ...]:
        """Those in force today; none where the ledger does not answer."""
        with self._asking:
            if self._in_force is None:
                try:
                    events = self._recorder.call(lambda ledger, _: ledger.overrides(days=LONGEST + 1))
                except OutsideError:
                    events = ()
                self._in_force = in_force(events, datetime.now(UTC).date())
            return self._in_force
