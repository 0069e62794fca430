"""A request that is answered with an error: its status, its words, and the field that is to blame."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """Why a request gets no prediction. `field` names the value to mend, `row` counts from 0 in a list of rows."""

    def __init__(self, status: int, reason: str, *, field: str | None = None, row: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.field = field
        self.row = row

    def body(self) -> dict[str, Any]:
        """The answer's JSON: `error`, and `field` and `row` where known."""
        told: dict[str, Any] = {"error": self.reason}
        if self.field is not None:
            told["field"] = self.field
        if self.row is not None:
            told["row"] = self.row
        return told


class NotFinite(Refused):
    """The model gave no finite number: the release is to blame, not the request."""
