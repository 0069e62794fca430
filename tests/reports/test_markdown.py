"""The report of a pull request: short on top, everything folded below, safe to render."""

from __future__ import annotations

import re

from mlops.reports.markdown import LIMIT, render
from mlops.verdict import Finding, Outcome
from tests.reports.reports import FINE, FLOOR, LET_PASS, exhibits, report


def test_a_failing_finding_shows_message_evidence_and_next_step():
    text = render(report())
    assert text.startswith("## ✗ mlops run: fail\n")
    assert (
        "- **FAIL** `model.floor` `churn_v2` (check-model): roc_auc is below the floor\n  - next: collect more rows"
        in text
    )
    assert (
        "| FAIL | check-model | `model.floor` | churn_v2 "
        "| roc_auc is below the floor, measured 0.3125 [0.28, 0.34], threshold 0.4, n 9,874 |" in text
    )


def test_every_check_is_in_the_folded_table():
    text = render(report())
    table = text[text.index("Every check") :]
    for check in ("model.floor", "data.value_skew", "model.champion", "model.finite"):
        assert f"`{check}`" in table
    assert "| SKIPPED | check-model | `model.champion` |  | first release |" in table


def test_it_stays_below_what_a_comment_may_hold():
    many = [Finding(check=f"c{i}", outcome=Outcome.FAIL, message="x" * 90, next_step="y" * 90) for i in range(2000)]
    text = render(report(*many))
    assert LIMIT - 1000 < len(text) <= LIMIT
    assert text.endswith("the whole report is in the artifact.\n")
    assert text.count("<details>") == text.count("</details>") == 2
    assert text.index("… and 1,975 more, below") < text.index("<details>")


def test_pipes_newlines_and_html_do_not_break_out_of_their_cell():
    evil = "a|b\nc <script>alert(1)</script> <!-- x"
    found = Finding(check="c", outcome=Outcome.FAIL, message=evil, subject=evil, next_step=evil)
    text = render(report(found))
    outside = re.sub("`[^`]*`", "", text)  # within backticks it is shown as it is
    assert "<script" not in outside
    assert "<!--" not in outside
    row = next(line for line in text.splitlines() if line.startswith("| FAIL"))
    assert row.replace("\\|", "").count("|") == 6
    assert "a\\|b c &lt;script" in row


def test_a_backtick_does_not_end_its_code():
    text = render(report(Finding(check="c", outcome=Outcome.FAIL, message="m", subject="a`b<b>")))
    bullet = next(line for line in text.splitlines() if line.startswith("- **FAIL**"))
    assert bullet.count("`") == 4


def test_releases_are_named():
    assert "- release `churn_v2-aaaa`, live in staging" in render(report(FLOOR))


def test_tables_stand_folded_beside_the_champion_s_numbers():
    text = render(report(), exhibits())
    assert "<details><summary>check-model:churn_v2: Metrics</summary>" in text
    assert "| roc_auc | 0.9123 | 0.89 | 0.93 | 0.905 | 0.88 | 0.92 |" in text


def test_what_was_let_pass_says_by_whom_until_when_and_why():
    text = render(report(LET_PASS, FINE))
    assert text.startswith("## ! mlops run: overridden\n")
    assert (
        "  - overridden by ada@lab until 2026-12-01: the column is known at the request, see issue 12 (else: fail)"
        in text
    )


def test_data_makes_no_link_no_mention_and_no_cell_of_its_own():
    evil = "@ada [click](http://x) ![p](http://x) \\| end"
    text = render(report(Finding(check="c", outcome=Outcome.FAIL, message=evil)))
    assert "](http" not in text
    assert "@ada" not in text
    row = next(line for line in text.splitlines() if line.startswith("| FAIL"))
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 6
