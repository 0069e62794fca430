"""The sentences of the schema gate: what is wrong with which rows, and where the committed value stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mlops.facts import Broken
from mlops.gates.schema_document import Schema
from mlops.verdict import Finding, Outcome

KINDS = (
    *("column", "unexpected", "type", "presence", "category", "range", "unit", "unique", "order", "encoding"),
    *("constraint", "empty"),
)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes findings about one table; `rows` is its length."""

    schema: Schema
    source: str
    rows: int

    def found(
        self, kind: str, subject: str, message: str, *, step: str, path: tuple[str, ...] | None, **evidence: Any
    ) -> Finding:
        """A finding that fires. `step` is what to do at the source; `path` where in the file the promise stands.

        Without a path nothing in the schema can be changed to allow it.
        """
        return Finding(
            check=f"schema.{kind}",
            outcome=Outcome.FAIL,
            subject=subject,
            message=message,
            next_step=step if path is None else f"{step}; if that is meant, {self._change(path)}, and review the diff",
            **{"n": self.rows, **evidence},
        )

    def _change(self, path: tuple[str, ...]) -> str:
        place, update = self.schema.place(*path), f"`mlops schema {self.source} --update`"
        return f"change {place} (or {update})" if place else update

    def of_rows(
        self, kind: str, subject: str, message: str, broken: Broken, *, path: tuple[str, ...], **more: Any
    ) -> Finding:
        """A finding about some rows; what is measured is their share, and none is allowed, unless `more` says else."""
        shown = f", such as {', '.join(map(repr, broken.values))}" if broken.values else ""
        evidence = {"measured": broken.count / self.rows, "threshold": 0.0, "rows": broken.rows, **more}
        step = evidence.pop("step", "mend it at the source")
        told = f"{message} in {broken.count:,} of {self.rows:,} rows{shown}"
        return self.found(kind, subject, told, step=step, path=path, **evidence)

    def not_run(self, kind: str, subject: str, message: str, *, path: tuple[str, ...]) -> Finding:
        """The finding of a check that could not be asked, which is no pass."""
        return Finding(
            check=f"schema.{kind}",
            outcome=Outcome.NOT_RUN,
            subject=subject,
            message=message,
            n=self.rows,
            next_step=f"mend the column, or {self.schema.place(*path) or 'the schema'}",
        )

    def passed(self, kind: str) -> Finding:
        """The finding that a kind of skew was looked for and is not there."""
        schema = self.schema
        said = {
            "column": f"all {len(schema.columns)} columns are there",
            "unexpected": "no other column" if schema.strict else "other columns are allowed",
            "type": "every column has its type",
            "presence": "no more values are missing than usual",
            "category": "no value that is not listed",
            "range": "every number is in its range",
            "unit": f"{len(schema.scales)} columns are in the unit that they were in",
            "unique": "no key repeats",
            "order": "time does not run backwards",
            "encoding": "no letters are broken",
            "constraint": f"{len(schema.constraints)} constraints between columns hold",
            "empty": f"{self.rows:,} rows",
        }[kind]
        return Finding(check=f"schema.{kind}", outcome=Outcome.PASS, subject=self.source, message=said, n=self.rows)


def from_pandera(writer: Writer, failures: Iterable[tuple[str, str, int, tuple[Any, ...]]]) -> tuple[Finding, ...]:
    """Findings from pandera's own failures: column ("" for the whole table), check, number and first rows."""
    return tuple(
        writer.of_rows(
            "constraint",
            column,
            f"{f'column {column!r}' if column else 'the table'} breaks {check}",
            Broken(count, first),
            path=("columns", column, "checks") if column else ("checks",),
            step="look at the rows named",
        )
        for column, check, count, first in failures
    )


def no_file(source: str, path: str) -> Finding:
    """The finding for a source without a schema: nothing can be called skew, so the gate stays shut."""
    return Finding(
        check="schema.file",
        outcome=Outcome.NOT_RUN,
        subject=source,
        message=f"there is no schema for {source!r} at {path}",
        next_step=f"write one from today's data with `mlops schema {source} --update`, read it, and commit it",
    )


def bad_file(source: str, path: str, reason: str) -> Finding:
    """The finding for a schema file that says nothing that can be understood."""
    return Finding(
        check="schema.file",
        outcome=Outcome.NOT_RUN,
        subject=source,
        message=f"{path} is not a schema: {reason}",
        next_step=f"mend the file, or write it anew with `mlops schema {source} --update`",
    )
