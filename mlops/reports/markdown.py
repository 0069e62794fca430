"""A report for a pull request or a job summary: verdict first, what fired, the evidence folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mlops.exhibits import Table
from mlops.plan import Plan
from mlops.reports.words import (
    MARKS,
    Shown,
    counts,
    evidence,
    let_pass,
    number,
    remark,
    seconds,
    told,
    verdict_word,
    word,
)
from mlops.verdict import Finding, Outcome, Record, Report, Verdict

LIMIT = 60_000  # GitHub ends a comment at 65,536 characters

_CUT = "\n\n… cut; the whole report is in the artifact.\n"
_TOLD = 25


def render(report: Report, shown: Shown | None = None) -> str:
    """Markdown of at most LIMIT characters; a section that does not fit is left out whole, or cut between its lines."""
    head = [f"## {MARKS[report.outcome]} mlops {report.command}: {verdict_word(report)}", ""]
    if report.verdicts:
        head += [counts(report), ""]
    head += [f"**stopped** {cell(error)}\n" for error in report.errors]
    fired = [(verdict, found) for verdict in report.verdicts for found in told(verdict)]
    bullets = [text for verdict, found in fired[:_TOLD] for text in _bullet(verdict, found)]
    if len(fired) > _TOLD:
        bullets.append(f"- … and {len(fired) - _TOLD:,} more, below")
    live = [
        f"- release `{r}`" + (f", live in {report.deployed[r]}" if r in report.deployed else "")
        for r in report.releases
    ]
    text = "\n".join([*head, *bullets, *live, ""])
    sections = [*tables(shown or {}), checks(report), steps(report)]
    return joined(text, sections)


def moved(record: Record) -> str:
    """What a deployment or a rollback did, and by what it was judged."""
    facts = record.facts
    place, release = str(facts.get("environment", record.subject)), str(facts.get("release") or "nothing")
    ended = str(facts.get("outcome") or "")
    judged = record.verdict.outcome if record.verdict else Outcome.PASS
    how = f"{facts['tried']} {ended}; {release} is live" if ended else f"{release} is live"
    how += "" if facts.get("changed") or ended else " already"
    lines = [f"## {MARKS[judged]} {cell(place)}: {cell(how)}", ""]
    told_of = {
        "before": facts.get("from") or (facts.get("previous") if facts.get("changed") else ""),
        "by": facts.get("who"),
        "because": facts.get("reason"),
        "took": seconds(record.seconds),
    }
    lines += [f"- {name}: {cell(str(value))}" for name, value in told_of.items() if value]
    checks = record.verdict.findings if record.verdict else ()
    lines += [f"- **{word(one)}** {code(one.check)}: {cell(one.message)}" for one in checks]
    return "\n".join([*lines, ""])


def planned(plan: Plan) -> str:
    """What a change affects, and why."""
    rows = [[code(name).strip(), reason] for name, reason in {**plan.views, **plan.models}.items()]
    rows += [[code(name).strip(), "unchanged"] for name in plan.untouched]
    return "\n".join([f"## {cell(plan.sentence)}", "", *(table(["", "why"], rows) if plan.models else []), ""])


def stopped(message: str, next_step: str) -> str:
    """An error that ended a command before there was a report."""
    return f"## ✗ mlops stopped\n\n{cell(message)}\n\n- next: {cell(next_step)}\n"


def joined(text: str, sections: Iterable[Sequence[str]]) -> str:
    """The text and as many lines of each section as there is room for; a section's last line closes it."""
    cut = False
    for first, *lines, last in sections:
        room = LIMIT - len(text) - len(_CUT) - len(first) - len(last) - 4
        kept = []
        for one in lines:
            room -= len(one) + 1
            if room < 0:
                break
            kept.append(one)
        cut = cut or len(kept) < len(lines)
        text += "\n".join(["", first, *kept, last, ""])
    return text[: LIMIT - len(_CUT)] + _CUT if cut or len(text) > LIMIT else text


def _bullet(verdict: Verdict, found: Finding) -> list[str]:
    segment = f" ({cell(found.segment)})" if found.segment else ""
    who = f"**{word(found)}** {code(found.check)}{code(found.subject)}({verdict.gate})"
    lines = [f"- {who}: {cell(found.message)}{segment}"]
    if found.override:
        lines.append(f"  - {cell(let_pass(found))}")
    if found.next_step:
        lines.append(f"  - next: {cell(found.next_step)}")
    if found.detail:
        lines += ["", *(f"  {line}".rstrip() for line in _fenced(found.detail)), ""]
    return lines


def _fenced(detail: str) -> list[str]:
    """Lines as they are, behind a fence that none of them can end."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", detail)), 3)
    kind = "diff" if detail.startswith("--- ") else ""
    return [f"{fence}{kind}", *detail.splitlines(), fence]


def tables(shown: Shown) -> list[list[str]]:
    """Each table that records have to show, folded."""
    found = [(name, one) for name, exhibits in shown.items() for one in exhibits if isinstance(one, Table)]
    return [
        folded(
            f"{name}: {one.title}",
            [
                cell(one.caption),
                "",
                *table([str(c) for c in one.columns], [[number(value) for value in row] for row in one.rows]),
            ],
        )
        for name, one in found
    ]


def checks(report: Report) -> list[str]:
    """Every check with its evidence, folded; what fired stands first."""
    rows = [
        [
            word(f),
            v.gate,
            code(f.check).strip(),
            f.subject,
            ", ".join(filter(None, [f.message, evidence(f), let_pass(f)])),
        ]
        for v in report.verdicts
        for f in (*told(v), *(f for f in v.findings if f not in told(v)))
    ]
    return folded("Every check", table(["", "gate", "check", "subject", "evidence"], rows))


def steps(report: Report) -> list[str]:
    """Every step with its time, folded."""
    rows = [[r.step, r.subject, "reused" if r.reused else seconds(r.seconds), remark(r)] for r in report.records]
    return folded("Steps", table(["step", "subject", "time", "result"], rows))


def folded(summary: str, lines: Sequence[str]) -> list[str]:
    """Lines that are shown when somebody clicks on the summary."""
    return [f"<details><summary>{cell(summary)}</summary>\n", *lines, "\n</details>"]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of plain texts."""
    head = ["| " + " | ".join(map(cell, columns)) + " |", "|---" * len(columns) + "|"]
    return [*head, *("| " + " | ".join(map(cell, row)) + " |" for row in rows)]


def code(text: str) -> str:
    """The text as code and a blank; "" where there is none."""
    plain = " ".join(text.replace("`", "'").split())  # within backticks nothing but a backtick is special
    return f"`{plain}` " if plain else ""


def cell(text: str) -> str:
    """The text as one line that neither ends its cell nor makes a tag, a link, a fence or a mention."""
    line = (
        re.sub("`{3,}", "'''", " ".join(text.split())).replace("\\", "\\\\").replace("|", "\\|").replace("](", "]\\(")
    )
    return re.sub(r"(?<!\w)@", "@\u200b", line.replace("&", "&amp;").replace("<", "&lt;"))
