"""The report of a pull request: the verdict, the models beside their champions, what fired and where, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mlops.exhibits import Table
from mlops.plan import Plan
from mlops.reports.markdown import cell, checks, code, folded, joined, steps, table, tables
from mlops.reports.mermaid import Box, flowchart
from mlops.reports.words import MARKS, Shown, counted, counts, let_pass, number, told, word
from mlops.verdict import Finding, Outcome, Record, Report, Severity, Verdict

Link = Callable[[Verdict, Finding], tuple[str, str]]
"""Where to mend what a finding is about: the place as text, and its page; both "" where that is not known."""

_TOLD = 20
_LONG = 600  # characters of a message
_ROWS = 20

_SAID = {
    Outcome.PASS: "every verdict passes",
    Outcome.FAIL: "a gate said no",
    Outcome.INSUFFICIENT: "the evidence is insufficient",
    Outcome.OVERRIDDEN: "passes with what was overridden",
    Outcome.NOT_RUN: "a gate did not run",
    Outcome.SKIPPED: "nothing was judged",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What stands around a report: whose it is, of which commit and run, what is read by what, what was planned."""

    project: str
    commit: str = ""
    run_url: str = ""
    boxes: tuple[Box, ...] = ()
    plan: Plan | None = None
    link: Link = lambda _verdict, _finding: ("", "")


def render(report: Report, shown: Shown, around: Around) -> str:
    """Markdown below GitHub's limit; the verdict first, whatever is cut."""
    head = [*_verdict(report, around), *_models(report, shown), *_fired(report, around)]
    sections = [*_next(report), *_lineage(around), *_rows(report), *tables(shown), *_affected(around)]
    return joined("\n".join([*head, ""]), [*sections, checks(report), steps(report)])


def said(report: Report) -> str:
    """The verdict in a few words."""
    if report.errors and report.outcome in (Outcome.PASS, Outcome.OVERRIDDEN):
        return "it stopped before its end"
    return _SAID[report.outcome]


def _verdict(report: Report, around: Around) -> Iterator[str]:
    stopped = bool(report.errors) and report.outcome is Outcome.PASS
    yield f"## {'✗' if stopped else MARKS[report.outcome]} {cell(around.project)}: {said(report)}\n"
    told_of = [counts(report)] if report.verdicts else []
    told_of += [f"commit {code(around.commit[:12]).strip()}"] if around.commit else []
    if around.run_url:
        told_of += [f"[the run]({around.run_url})", f"[the whole report, as an artifact]({around.run_url}#artifacts)"]
    yield " · ".join(told_of)
    for error in report.errors:
        yield f"\n**stopped:** {cell(error[:_LONG])}"
    for release in report.releases:
        yield f"\nRelease {code(release)}" + (
            f"is live in {cell(report.deployed[release])}." if release in report.deployed else "is ready."
        )


def _models(report: Report, shown: Shown) -> list[str]:
    """Each model's own metric beside its champion's, with 95 % intervals."""
    rows = []
    for record in report.records:
        if record.step == "check-model" and record.verdict is not None:
            ours, theirs, difference = _beside(record, shown)
            champion = str(record.facts.get("champion") or "")
            outcome = _worst(report, record.subject)
            rows.append(
                [
                    code(record.subject).strip(),
                    str(record.facts.get("metric", "")),
                    ours,
                    f"{theirs} {code(champion).strip()}" if champion else "none yet",
                    difference,
                    f"{MARKS[outcome]} {outcome.value}",
                ]
            )
    if not rows:
        return []
    return ["", *table(["model", "metric", "this change", "champion", "difference", "verdict"], rows)]


def _worst(report: Report, subject: str) -> Outcome:
    """The worst verdict over a model, whatever gate gave it."""
    about = tuple(one for one in report.records if one.subject == subject and one.verdict is not None)
    return Report(command=report.command, records=about).outcome


def _beside(record: Record, shown: Shown) -> tuple[str, str, str]:
    """A model's own metric, its champion's, and their difference, each with its interval."""
    metric = str(record.facts.get("metric", ""))
    for exhibit in shown.get(record.name, ()):
        if isinstance(exhibit, Table) and exhibit.title == "Metrics":
            for name, *values in exhibit.rows:
                if name == metric:
                    ours, theirs, difference, *_ = (*(_measured(values[k : k + 3]) for k in (0, 3, 6)), "")
                    return ours, theirs, difference
    value = record.metrics.get(metric)
    return (number(value) if value is not None else ""), "", ""


def _measured(values: Sequence[float | str | None]) -> str:
    """`0.731 [0.702, 0.76]`; "" where nothing was measured."""
    if not values or values[0] is None:
        return ""
    bounds = [number(one) for one in values[1:3] if one is not None]
    return number(values[0]) + (f" [{', '.join(bounds)}]" if len(bounds) == 2 else "")


def _fired(report: Report, around: Around) -> list[str]:
    found = _worst_first(report)
    if not found:
        return []
    lines = ["", f"### {counted(len(found), 'finding')}", ""]
    for verdict, finding in found[:_TOLD]:
        lines += _bullet(verdict, finding, around.link)
    return [*lines, *([f"- … and {len(found) - _TOLD:,} more, below"] if len(found) > _TOLD else [])]


def _worst_first(report: Report) -> list[tuple[Verdict, Finding]]:
    found = [(verdict, finding) for verdict in report.verdicts for finding in told(verdict)]
    return sorted(found, key=lambda pair: (pair[1].severity is not Severity.FAIL, not pair[1].fired))


def _bullet(verdict: Verdict, finding: Finding, link: Link) -> list[str]:
    place, page = link(verdict, finding)
    where = f" at [{cell(place)}]({page})" if page else f" at {cell(place)}" if place else ""
    about = code(finding.subject) if finding.subject != verdict.subject else ""
    gate = f"{verdict.gate} {code(verdict.subject)}".strip()
    lines = [f"- **{word(finding)}** {code(finding.check)}{about}in {gate}{where}: {cell(finding.message[:_LONG])}"]
    return [*lines, f"  - {cell(let_pass(finding)[:_LONG])}"] if finding.override else lines


def _next(report: Report) -> list[list[str]]:
    """What to do, each thing once, in the order of what fired; the last line closes, so it is no step."""
    wanted = dict.fromkeys(found.next_step for _, found in _worst_first(report) if found.fired and found.next_step)
    lines = [f"{place}. {cell(step[:_LONG])}" for place, step in enumerate(wanted, 1)]
    return [["### Next", "", *lines[:_TOLD], ""]] if lines else []


def _lineage(around: Around) -> list[list[str]]:
    chart = flowchart(around.boxes)
    return [folded("What is made of what", ["```mermaid", *chart.splitlines(), "```"])] if chart else []


def _rows(report: Report) -> list[list[str]]:
    """Which rows failed, by position or key: what is in them stays where it is."""
    rows = [
        [
            word(found),
            found.check,
            found.subject,
            found.segment,
            ", ".join(str(row) for row in found.rows[:_ROWS]) + (", …" if len(found.rows) > _ROWS else ""),
            found.message,
        ]
        for verdict in report.verdicts
        for found in told(verdict)
        if found.rows
    ]
    heads = ["", "check", "subject", "segment", "rows", "what is wrong"]
    return [folded("Rows that failed", table(heads, rows))] if rows else []


def _affected(around: Around) -> list[list[str]]:
    if around.plan is None:
        return []
    rows = [[name, why] for name, why in {**around.plan.views, **around.plan.models}.items()]
    rows += [[name, "unchanged"] for name in around.plan.untouched]
    return [folded(around.plan.sentence, table(["", "why"], rows))]
