"""The one exit point: an error is a sentence and a code, a bug is a traceback."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from mlops.cli import edge
from mlops.cli.group import mlops
from mlops.errors import (
    DeploymentFailed,
    GateFailed,
    InsufficientEvidence,
    NothingToDo,
    OutsideError,
    RollbackFailed,
    UsageError,
)


def left(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        edge.main(list(arguments))
    shown = capsys.readouterr()
    return caught.value.code, shown.out, shown.err


@pytest.fixture
def failing(monkeypatch):
    """Makes `mlops doctor` raise."""

    def plant(error):
        @click.command("doctor")
        @click.option("--json", is_flag=True)
        def command(json):
            raise error

        monkeypatch.setattr(type(mlops), "get_command", lambda *_: command)

    return plant


CODES = {
    GateFailed: 1,
    UsageError: 2,
    NothingToDo: 3,
    OutsideError: 4,
    DeploymentFailed: 5,
    RollbackFailed: 6,
    InsufficientEvidence: 7,
}


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_every_error_has_its_exit_code_and_says_what_to_do(kind, code, failing, capsys):
    failing(kind("it rained", next_step="take an umbrella"))
    found, out, err = left(capsys, "doctor")
    assert (found, out) == (code, "")
    assert err == "error: it rained\n  next: take an umbrella\n"


def test_an_error_is_json_where_json_was_asked_for(failing, capsys):
    failing(OutsideError("it rained", next_step="take an umbrella"))
    code, out, err = left(capsys, "doctor", "--json")
    assert (code, err) == (4, "")
    expected = {"error": "it rained", "next": "take an umbrella", "kind": "OutsideError", "exit_code": 4}
    assert json.loads(out) == expected


def test_a_bug_is_not_dressed_up_as_an_error(failing):
    failing(ZeroDivisionError("oops"))
    with pytest.raises(ZeroDivisionError):
        edge.main(["doctor"])


def test_a_bug_shows_its_traceback_and_does_not_exit_well():
    program = "import mlops.cli.edge as edge; edge.mlops.main = lambda *a, **k: 1 / 0; edge.main(['status'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_a_misspelt_command_names_the_nearest(capsys):
    code, _, err = left(capsys, "stauts")
    assert code == 2
    assert "did you mean 'status'?" in err


def test_a_misspelt_option_is_json_too_where_json_was_asked_for(capsys):
    code, out, _ = left(capsys, "run", "--too", "staging", "--json")
    whole = json.loads(out)
    assert (code, whole["exit_code"]) == (2, 2)
    assert "--to" in whole["error"]
    assert "mlops run --help" in whole["next"]


def test_an_interrupt_leaves_at_once_with_130():
    program = (
        "import mlops.cli.edge as edge\n"
        "def stop(*a, **k): raise KeyboardInterrupt\n"
        "edge.mlops.main = stop\n"
        "edge.main(['run'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_project_is_a_usage_error(tmp_path, capsys):
    code, _, err = left(capsys, "status", "--project", str(tmp_path))
    assert code == 2
    assert "mlops init" in err
