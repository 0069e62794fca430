"""What the runner is told, and that no text of a user's data can tell it more."""

from __future__ import annotations

import io
import json
import re

import pytest

from mlops.adapters.github.runner import SUMMARY_LIMIT, Annotation, Log, harmless, output, summarize

HOSTILE = (
    "::error::x",
    "  ::add-mask::x",
    "a\n::stop-commands::x",
    "a\r::set-output name=release::evil",
    "a\n\t ::debug::x",
    "text ##[set-output name=release]evil",
    "\u2003::warning::x",
    "::::",
    "%0A::error::x",
    "##[##[group]x",
)


def commands(log: str) -> list[str]:
    """The lines of a log that GitHub's runner would take for commands, in either of its two ways."""
    lines = re.split(r"\r\n|\r|\n", log)
    return [line for line in lines if line.strip().startswith("::") or "##[" in line]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_is_printed_can_be_a_command(text):
    assert commands(text) or "%0A" in text
    assert commands(harmless(text)) == []


def test_harmless_text_looks_as_before():
    text = "a: b\nfeatures/shop.py:3: std::vector ## [x]\n"
    assert harmless(text) == text
    assert harmless("::error::x").replace("\u200b", "") == "::error::x"


def test_json_keeps_its_values():
    whole = json.dumps({"a": "##[error]x", "b": "\n::error::"}, indent=2)
    safe = harmless(whole, json=True)
    assert commands(safe) == []
    assert json.loads(safe) == json.loads(whole)


def test_the_log_looks_at_whole_lines_however_they_are_written():
    below = io.StringIO()
    log = Log(below)
    for piece in (":", ":error", "::x\nfine", "\n:"):
        log.write(piece)
    log.write(":debug::x\n")
    log.command("::notice::ours")
    log.flush()
    assert commands(below.getvalue()) == ["::notice::ours"]
    assert "fine\n" in below.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_an_annotation_is_one_command_whatever_is_in_it(text):
    one = str(Annotation(level="error", message=text, title=text, file=f"a,b:{text}", line=3))
    assert one.startswith("::error file=a%2Cb%3A")
    assert len(re.split(r"[\r\n]", one)) == 1
    fields, _, message = one.removeprefix("::error ").partition("::")
    assert [field.partition("=")[0] for field in fields.split(",")] == ["file", "line", "title"]
    decoded = message.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%").replace("\u200b#[", "#[")
    assert decoded == text


def test_an_annotation_without_a_file_has_no_line():
    assert str(Annotation(level="warning", message="m", line=3)) == "::warning::m"


@pytest.fixture
def files(tmp_path):
    return {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "GITHUB_OUTPUT": str(tmp_path / "output")}


def read_outputs(text: str) -> dict[str, str]:
    """As the runner reads the file: NAME<<END, lines, END."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if line:
            name, end = line.split("<<")
            value = []
            for inner in lines:
                if inner == end:
                    break
                value.append(inner)
            found[name] = "\n".join(value)
    return found


@pytest.mark.parametrize("value", ["x", "", "a\nb\n", "EOF\nchanged<<EOF\ntrue\nEOF", "mlops_\nrelease=evil"])
def test_an_output_holds_its_value_and_sets_no_other(files, tmp_path, value):
    assert output({"release": value, "changed": "false"}, files)
    assert read_outputs((tmp_path / "output").read_text()) == {"release": value, "changed": "false"}


def test_a_summary_is_appended_and_ends_before_the_limit_of_the_step(files, tmp_path):
    summarize("first", files)
    summarize("€" * SUMMARY_LIMIT, files)
    summarize("third", files)
    data = (tmp_path / "summary").read_bytes()
    assert len(data) <= SUMMARY_LIMIT
    text = data.decode()
    assert text.startswith("first\n€€€")
    assert text.rstrip().endswith("The whole report is in the artifact.")


def test_outside_of_actions_nothing_is_written():
    assert not summarize("x", {})
    assert not output({"a": "b"}, {})
