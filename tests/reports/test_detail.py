"""Lines that belong to a finding, such as a diff, are shown as they are in every format."""

from __future__ import annotations

import dataclasses

from mlops.reports import as_json, html, markdown, text
from tests.reports.reports import FLOOR, report

DIFF = """--- fraud_v1-aaaa/features/spend.py
+++ features/spend.py
@@ -1,2 +1,2 @@
 def spend_v1(payments):
-    return past(payments, 3)
+    return past(payments, 5)  # ``` <b>|"""
FOUND = dataclasses.replace(FLOOR, detail=DIFF)


def test_a_diff_keeps_its_lines_on_a_terminal_however_narrow():
    lines = [line.removeprefix(" " * 15) for line in text.render(report(FOUND), width=80).splitlines()]
    at = lines.index("--- fraud_v1-aaaa/features/spend.py")
    assert lines[at : at + 6] == DIFF.splitlines()


def test_a_diff_is_a_block_in_markdown_that_nothing_in_it_can_end():
    lines = [line.removeprefix("  ") for line in markdown.render(report(FOUND)).splitlines()]
    at = lines.index("````diff")
    assert lines[at + 1 : at + 8] == [*DIFF.splitlines(), "````"]


def test_a_page_shows_a_diff_and_runs_nothing_of_it():
    page = html.render(report(FOUND))
    assert "<pre>--- fraud_v1-aaaa/features/spend.py\n+++ features/spend.py\n" in page
    assert "# ``` &lt;b&gt;|</pre>" in page


def test_machines_get_it_too():
    assert "past(payments, 5)" in as_json.render(report(FOUND))
