"""What a pull request is told: the verdict first, numbers beside the champion's, what fired and where, what to do."""

from __future__ import annotations

import dataclasses
import re

import pytest

from mlops.plan import Plan
from mlops.reports.comment import Around, render, said
from mlops.reports.markdown import LIMIT
from mlops.reports.mermaid import Box
from mlops.verdict import Finding, Outcome, Report
from tests.reports.reports import EVERY, FINE, FLOOR, LET_PASS, SEGMENT, UNSURE, exhibits, report

AROUND = Around(
    project="shop",
    commit="a" * 40,
    run_url="https://github.com/ada/shop/actions/runs/7",
    boxes=(Box(name="customers", kind="source"), Box(name="churn_v2", kind="model", reads=("customers",))),
    plan=Plan(base="b" * 40, views={}, models={"churn_v2": "changed: churn_v2 itself"}, untouched=("churn_v1",)),
    link=lambda _verdict, found: ("models/churn.py:3", "https://github.com/p#L3") if found == FLOOR else ("", ""),
)


def written(*findings: Finding, **more) -> str:
    whole = report(*(findings or EVERY))
    (name,) = {record.name for record in whole.records if record.step == "check-model"}
    return render(whole, {name: next(iter(exhibits().values()))}, dataclasses.replace(AROUND, **more))


def test_the_verdict_the_counts_the_commit_and_the_run_come_first():
    lines = written().splitlines()
    assert lines[0] == "## ✗ shop: a gate said no"
    assert lines[2] == (
        "1 failed, 1 insufficient, 1 overridden, 1 retrain, 1 warned, 1 passed, 1 skipped · commit `aaaaaaaaaaaa` · "
        "[the run](https://github.com/ada/shop/actions/runs/7) · "
        "[the whole report, as an artifact](https://github.com/ada/shop/actions/runs/7#artifacts)"
    )


def test_a_model_stands_beside_its_champion_with_intervals():
    whole = report(FINE)
    judged = dataclasses.replace(whole.records[1], facts={"metric": "roc_auc", "champion": "churn_v1-cc"})
    text = render(dataclasses.replace(whole, records=(judged,)), {judged.name: next(iter(exhibits().values()))}, AROUND)
    row = next(line for line in text.splitlines() if line.startswith("| `churn_v2`"))
    assert "| roc_auc | 0.9123 [0.89, 0.93] | 0.905 [0.88, 0.92] `churn_v1-cc` |" in row
    assert row.endswith("| ✓ pass |")


def test_the_first_release_has_no_champion_yet():
    row = next(line for line in written(FINE).splitlines() if line.startswith("| `churn_v2`"))
    assert "| none yet |" in row


def test_what_fired_stands_worst_first_at_its_line_and_its_next_steps_are_a_list():
    text = written()
    bullets = [line for line in text.splitlines() if line.startswith("- **")]
    assert [re.findall(r"\*\*([A-Z ]+)\*\*", line)[0] for line in bullets] == [
        "FAIL",
        "INSUFFICIENT",
        "OVERRIDDEN",
        "RETRAIN",
        "WARN",
    ]
    assert "in check-model `churn_v2` at [models/churn.py:3](https://github.com/p#L3): roc_auc is below" in bullets[0]
    steps = text[text.index("### Next") :].splitlines()[2:5]
    assert steps == ["1. collect more rows", "2. hold out 600 rows", "3. look at these rows"]
    assert "overridden by ada@lab until 2026-12-01" in text


def test_rows_that_failed_are_named_and_not_shown():
    text = written(SEGMENT)
    table = text[text.index("Rows that failed") :]
    assert "| WARN | model.segment |  | channel = 'online' | 3, 17, 44 | weaker than the other rows |" in table


def test_lineage_and_what_is_affected_are_folded():
    text = written()
    assert "```mermaid\nflowchart LR\n" in text
    assert "<details><summary>1 of 2 models need work since bbbbbbbbbbbb.</summary>" in text
    assert "| churn_v1 | unchanged |" in text


@pytest.mark.parametrize(
    ("findings", "errors", "words"),
    [
        ((FINE,), (), "every verdict passes"),
        ((FLOOR,), (), "a gate said no"),
        ((UNSURE, FINE), (), "the evidence is insufficient"),
        ((LET_PASS, FINE), (), "passes with what was overridden"),
        ((FINE,), ("the disk is full",), "it stopped before its end"),
        ((FLOOR,), ("the disk is full",), "a gate said no"),
    ],
)
def test_each_outcome_has_its_words(findings, errors, words):
    whole = dataclasses.replace(report(*findings), errors=errors)
    assert said(whole) == words
    text = render(whole, {}, AROUND)
    assert text.splitlines()[0].endswith(f"shop: {words}")
    assert ("**stopped:** the disk is full" in text) == bool(errors)


def test_nothing_judged_is_no_pass():
    assert said(Report(command="run", records=())) == "a gate did not run"


def test_it_stays_below_the_limit_and_the_verdict_is_never_cut():
    many = [
        Finding(check=f"c{n}", outcome=Outcome.FAIL, message="x" * 5000, next_step=f"{n}" * 900, rows=tuple(range(99)))
        for n in range(500)
    ]
    text = written(*many)
    assert len(text) <= LIMIT
    assert text.startswith("## ✗ shop: a gate said no")
    assert "… and 480 more, below" in text
    assert text.count("<details>") == text.count("</details>")
    assert text.endswith("the whole report is in the artifact.\n")


def test_hostile_text_makes_no_tag_link_mention_or_heading():
    evil = "@ada [click](http://x) <script>\n# big\n```\n| end --> "
    text = written(Finding(check="c", outcome=Outcome.FAIL, message=evil, subject=evil, next_step=evil, segment=evil))
    outside = re.sub("`[^`\n]*`", "", text)
    assert "<script" not in outside
    assert "](http://x" not in outside
    assert "@ada" not in outside
    assert not re.search(r"^# big", text, re.MULTILINE)
    assert text.count("```") == 2
