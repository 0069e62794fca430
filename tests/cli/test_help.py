"""Every command has help with an example, and asking for it loads nothing heavy (promise 24)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mlops.cli.group import SUMMARIES, mlops

HEAVY = ("pandas", "numpy", "mlflow", "sklearn", "bentoml", "pyarrow", "duckdb", "rich")


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_command_has_help_with_an_example_and_the_summary_of_the_table(name):
    shown = CliRunner().invoke(mlops, [name, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Example" in shown.output
    assert f"mlops {name}" in shown.output.split("Example")[1]
    command = mlops.get_command(click.Context(mlops), name)
    assert (command.short_help or command.help.splitlines()[0]) == SUMMARIES[name]
    assert command.name == name


def test_every_command_has_a_module_of_its_name_and_every_such_module_is_in_the_table():
    folder = Path(sys.modules["mlops.cli"].__file__).parent
    marks = ("\ncommand = ", "\ndef command(")
    commands = {p.stem.replace("_", "-") for p in folder.glob("*.py") if any(m in p.read_text() for m in marks)}
    assert commands == set(SUMMARIES)


def test_the_groups_help_lists_every_command_with_its_summary():
    shown = CliRunner().invoke(mlops, ["--help"], terminal_width=200).output
    for name, summary in SUMMARIES.items():
        assert f"{name}" in shown
        assert summary in shown


CALL = """
import sys
sys.argv = {arguments!r}
try:
    from mlops.cli import main
    main()
except SystemExit as left:
    assert not left.code
"""


@pytest.mark.parametrize(
    "code",
    [
        "import mlops",
        "import mlops; mlops.model, mlops.Finding",
        CALL.format(arguments=["mlops", "--help"]),
        CALL.format(arguments=["mlops", "run", "--help"]),
    ],
    ids=["import", "names", "help", "run-help"],
)
def test_neither_the_import_nor_help_loads_anything_heavy(code):
    """Promise 24, its cause."""
    program = f"{code}\nimport sys\nprint('LOADED', sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell):
    shown = CliRunner().invoke(mlops, ["completion", shell])
    assert shown.exit_code == 0
    assert "_MLOPS_COMPLETE" in shown.output


def test_the_version_is_that_of_the_package():
    from mlops import __version__

    assert __version__ in CliRunner().invoke(mlops, ["--version"]).output
