"""Every format tells the same values: what is found in one is found in all."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from mlops import reports
from mlops.errors import UsageError
from mlops.reports.words import evidence, let_pass, number, word
from tests.reports.reports import EVERY, FLOOR, exhibits, report

TEXTS = {suffix: form(report(*EVERY), exhibits()) for suffix, form in reports.FORMATS.items()}


def plain(suffix: str) -> str:
    """The words that a reader sees."""
    text = TEXTS[suffix]
    if suffix == ".html":
        text = html.unescape(re.sub(r"<(style|svg).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL))
    if suffix == ".md":
        text = html.unescape(text).replace("`", "").replace("\\|", "|")
    return " ".join(text.split())


@pytest.mark.parametrize("suffix", [".html", ".md", ".txt"])
@pytest.mark.parametrize("found", [f for f in EVERY if f.fired or f.override], ids=lambda found: found.check)
def test_what_a_person_should_read_is_told_with_all_its_evidence(suffix, found):
    text = plain(suffix)
    for value in (found.check, found.subject, found.message, evidence(found), found.next_step, let_pass(found)):
        assert value in text
    assert word(found) in text


@pytest.mark.parametrize("suffix", [".html", ".md"])
@pytest.mark.parametrize("found", EVERY, ids=lambda found: found.check)
def test_every_check_is_in_the_formats_that_have_room(suffix, found):
    assert found.check in plain(suffix)
    assert found.message in plain(suffix)


@pytest.mark.parametrize("found", EVERY, ids=lambda found: found.check)
def test_json_has_each_field_as_it_is(found):
    values = json.loads(TEXTS[".json"])["records"][1]["verdict"]["findings"]
    told = next(one for one in values if one["check"] == found.check)
    for field in ("message", "subject", "segment", "measured", "threshold", "n", "next_step"):
        assert told[field] == getattr(found, field)
    assert told["rows"] == list(found.rows)
    assert (told["override"] or {}).get("reason") == (found.override and found.override.reason)


@pytest.mark.parametrize("suffix", TEXTS)
def test_verdict_releases_and_places_are_told(suffix):
    text = plain(suffix).lower()
    for value in ("fail", "churn_v2-aaaa", "staging"):
        assert value in text


@pytest.mark.parametrize("suffix", [".html", ".md", ".json"])
def test_tables_are_told_where_there_is_room(suffix):
    for row in exhibits()["check-model:churn_v2"][0].rows:
        for cell in row:
            shown = json.dumps(cell) if suffix == ".json" else number(cell)
            assert shown in plain(suffix)


@pytest.mark.parametrize("suffix", TEXTS)
def test_equal_reports_give_equal_texts(suffix):
    assert reports.FORMATS[suffix](report(*EVERY), exhibits()) == TEXTS[suffix]


def test_the_suffix_of_the_file_chooses_the_format():
    assert reports.format_of(Path("a/b.md"))(report(FLOOR), {}).startswith("## ")
    with pytest.raises(UsageError, match=r"report\.pdf") as error:
        reports.format_of(Path("report.pdf"))
    assert ".html, .md, .json, .txt" in error.value.next_step
