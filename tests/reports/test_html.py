"""The page: one file without network or script, safe to open, below 2 MB, readable by everybody."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from mlops.exhibits import Plot, Series, Table
from mlops.reports import html, plots
from mlops.reports.html import LIMIT, render
from mlops.verdict import Finding, Outcome, Record, Report, Verdict
from tests.reports.reports import EVERY, FINE, LEFT_OUT, LET_PASS, UNSURE, exhibits, report

PAGE = render(report(*EVERY), exhibits())
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;$x_1$"


class Seen(HTMLParser):
    """The tags with their attributes, and the text, as a browser takes them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}


def plot(**more) -> Plot:
    values = {
        "title": "t",
        "caption": "c",
        "kind": "lines",
        "x_label": "x",
        "y_label": "y",
        "series": (Series(name="s", x=(1.0, 2.0), y=(1.0, 2.0)),),
    }
    return Plot(**{**values, **more})


def test_it_needs_no_network_and_no_script():
    seen = Seen(PAGE)
    assert not seen.names & {"script", "link", "iframe", "object", "embed", "img", "base", "form"}
    for _, attributes in seen.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "style"):
                assert "//" not in (value or "")
    assert "@import" not in PAGE
    assert "default-src 'none'" in PAGE


def test_what_the_data_says_is_shown_and_never_done():
    """Names of columns, segments and labels are data, in tables and in pictures."""
    found = Finding(
        check="own.evil",
        outcome=Outcome.FAIL,
        message=EVIL,
        subject=EVIL,
        measured=EVIL,
        threshold=EVIL,
        rows=(EVIL,),
        segment=EVIL,
        next_step=EVIL,
    )
    record = Record(step="check-data", subject=EVIL, verdict=Verdict(gate="g", subject=EVIL, findings=(found,)))
    whole = Report(command="run", records=(record,), errors=(EVIL,), releases=(EVIL,), about={EVIL: EVIL})
    lying = Series(name=EVIL, x=(EVIL, "other"), y=(1.0, 2.0), low=(0.5, 1.0), high=(1.5, 3.0))
    pictures = [
        plot(title=EVIL, caption=EVIL, x_label=EVIL, y_label=EVIL, group=EVIL, kind=kind, series=(lying, lying))
        for kind in ("bars", "lines", "points")
    ]
    table = Table(title=EVIL, caption=EVIL, columns=(EVIL, "n"), rows=((EVIL, 1.0),))
    seen = Seen(render(whole, {EVIL: (*pictures, table)}))
    assert not seen.names & {"script", "img"}
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert "".join(seen.texts).count("<script>alert(1)</script>") > 20


@pytest.mark.parametrize(
    ("findings", "tone", "word"),
    [
        ((FINE,), "good", "pass"),
        (EVERY, "bad", "fail"),
        ((UNSURE, FINE), "warn", "insufficient"),
        ((LET_PASS, FINE), "warn", "overridden"),
        ((LEFT_OUT,), "bad", "not run"),
    ],
)
def test_the_verdict_comes_first_in_word_and_colour(findings, tone, word):
    page = render(report(*findings))
    assert f'<header class="banner {tone}">' in page
    assert f"mlops run: {word}</h1>" in page
    assert page.index("</h1>") < page.index("<h2")


def test_what_fired_comes_before_what_did_not():
    body = PAGE.partition("<body>")[2]
    cards = re.findall(r'<article class="card (\w+)">', body)
    assert cards == ["bad", "warn", "warn", "warn", "warn"]
    assert body.rindex("<article") < body.index("Every check")
    table = body.partition("Every check")[2]
    assert table.index("model.floor") < table.index("model.champion")


def test_an_empty_report_and_an_error_are_no_pass():
    assert "that is not a pass" in render(Report(command="run", records=()))
    stopped = Report(command="run", records=(report(FINE).records), errors=("the disk is full",))
    assert "mlops run: stopped</h1>" in render(stopped)
    assert "the disk is full" in render(stopped)


def test_it_stays_below_two_megabytes_whatever_there_is_to_show():
    many = [Finding(check=f"c{i}", outcome=Outcome.FAIL, message="x" * 200, next_step="y" * 90) for i in range(5000)]
    numbers = tuple(float(i * 37 % 101) for i in range(20_000))
    cloud = plot(kind="points", series=(Series(name="s", x=numbers, y=numbers[::-1]),))
    wide = Table(title="t", caption="c", columns=("a", "b"), rows=tuple((f"r{i}", float(i)) for i in range(20_000)))
    page = render(report(*many), {"check-model:churn_v2": (*[cloud] * 12, *[wide] * 8)})
    assert len(page.encode()) < LIMIT
    assert "and 4,700 more" in page
    assert "Drawn are 1,000 of 20,000 points" in page
    assert "Not drawn, so that this file stays small" in page


def test_a_hundred_models_fit_too():
    one = report(*EVERY, *[FINE] * 60)
    page = render(dataclasses.replace(one, records=one.records * 400))
    assert len(page.encode()) < LIMIT
    assert "mlops run: fail</h1>" in page
    assert page.count("<article") == 30, "what fired is still told first"


def test_headings_go_down_one_by_one_and_pictures_and_columns_have_names():
    seen = Seen(PAGE)
    levels = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 2 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = [attributes for tag, attributes in seen.tags if tag == "svg"]
    assert len(pictures) == 4
    assert all(p["role"] == "img" and p["aria-labelledby"] in ids for p in pictures)
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in seen.tags if tag == "th")
    assert ("html", {"lang": "en"}) in seen.tags
    assert "width=device-width" in PAGE


def test_pictures_take_their_colours_from_the_page():
    for kind in ("bars", "lines", "points"):
        picture = plots.svg(plot(kind=kind, diagonal=True), "p")
        assert "var(--s1)" in picture
        assert "currentColor" in picture
        assert not re.findall(r"#0[123]0[123]0[1-6]", picture)


def test_lying_bars_have_their_words_at_the_left_and_their_values_below():
    series = (Series(name="s", x=("chip", "online"), y=(0.2, 0.4)),)
    picture = plots.svg(plot(kind="bars", x_label="channel", y_label="recall", series=series), "p")
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    assert texts.index("recall") < texts.index("chip") < texts.index("channel")


@pytest.mark.parametrize(
    "series", [(), (Series(name="s", x=(), y=()),), (Series(name="s", x=(1.0,), y=(float("nan"),)),)]
)
@pytest.mark.parametrize("kind", ["bars", "lines", "points"])
def test_a_plot_of_nothing_is_drawn_as_empty(kind, series):
    assert plots.svg(plot(kind=kind, series=series), "p").startswith("<svg")


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_in_light_and_dark(scheme):
    """WCAG 2.2 AA: 4.5 for text, 3 for lines of a picture."""
    page = Path(html.__file__).with_name("page.html.jinja").read_text()
    light, _, rest = page.partition("@media (prefers-color-scheme: dark)")
    text = light if scheme == "light" else rest.partition("} }")[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text))
    for ink in ("ink", "quiet", "link"):
        assert min(contrast(colours[ink], colours[ground]) for ground in ("page", "card", "code")) >= 4.5, ink
    for tone in ("good", "bad", "warn"):
        assert contrast(colours[tone], colours[f"{tone}-soft"]) >= 4.5, tone
        assert contrast(colours["ink"], colours[f"{tone}-soft"]) >= 4.5, tone
    for number in range(1, 7):
        assert contrast(colours[f"s{number}"], colours["card"]) >= 3, number


def test_a_release_says_where_it_is_live_and_what_is_live_beside_it_is_named():
    live = {"churn_v2-aaaa": "staging", "fraud_v1-bbbb": "production"}
    text = " ".join(" ".join(Seen(render(dataclasses.replace(report(), deployed=live))).texts).split())
    assert "Release churn_v2-aaaa , live in staging" in text
    assert "Live in production : fraud_v1-bbbb" in text
