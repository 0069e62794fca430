"""A report for a pull request or a job summary: verdict first, what fired, the evidence folded."""

from __future__ import annotations

from mlops.reports.words import MARKS, evidence, remark, seconds, verdict_word, word
from mlops.verdict import Finding, Report

LIMIT = 60_000  # GitHub ends a comment at 65,536 characters

_CUT = "\n\n… cut; the whole report is in the artifact.\n"


def render(report: Report) -> str:
    """Markdown of at most LIMIT characters."""
    parts = [f"## {MARKS[report.outcome]} mlops {report.command}: {verdict_word(report)}", ""]
    fired = [(v, f) for v in report.verdicts for f in v.fired]
    for verdict, found in fired:
        parts.append(f"- **{word(found)}** `{found.check}` {_subject(found)}({verdict.gate}): {_cell(found.message)}")
        if found.next_step:
            parts.append(f"  - next: {_cell(found.next_step)}")
    parts += [f"- release `{release}`" for release in report.releases]
    parts += ["", "<details><summary>Steps</summary>", "", "| step | subject | time | result |", "|---|---|---|---|"]
    for record in report.records:
        took = "reused" if record.reused else seconds(record.seconds)
        parts.append(f"| {record.step} | {_cell(record.subject)} | {took} | {_cell(remark(record))} |")
    parts += ["", "</details>", "", *_checks(report)]
    text = "\n".join(parts)
    return text if len(text) <= LIMIT else text[: LIMIT - len(_CUT)] + _CUT


def _checks(report: Report) -> list[str]:
    lines = [
        "<details><summary>Every check</summary>",
        "",
        "| | gate | check | subject | evidence |",
        "|---|---|---|---|---|",
    ]
    for verdict in report.verdicts:
        for found in verdict.findings:
            shown = evidence(found) or found.message
            lines.append(
                f"| {word(found)} | {verdict.gate} | `{found.check}` | {_cell(found.subject)} | {_cell(shown)} |"
            )
    return [*lines, "", "</details>", ""]


def _subject(found: Finding) -> str:
    plain = " ".join(found.subject.replace("`", "'").split())  # within backticks nothing but a backtick is special
    return f"`{plain}` " if plain else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
