"""What people and programs may type into the forms of the dispatch workflows: none of it is executed.

The lines are those of the products, run by the shell that GitHub uses, with the values where GitHub puts them: in the
environment. First a program that writes down its arguments stands for `mlops`, then the command itself is given them.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops.cli.edge import main
from tests.workflows import graph
from tests.workflows.runner import OURS

HOSTILE = {
    "substitution": "$(touch executed)",
    "backticks": "`touch executed`",
    "semicolon": "; touch executed;",
    "and": "&& touch executed",
    "pipe": "| tee executed",
    "redirection": "> executed",
    "newline": "\ntouch executed\n",
    "carriage return": "\rtouch executed",
    "single quotes": "'; touch executed; '",
    "double quotes": '"; touch executed; "',
    "option": "--help",
    "option with a value": "--project=/",
    "short option": "-h",
    "end of options": "--",
    "path upwards": "../../../../etc/passwd",
    "absolute path": "/etc/passwd",
    "glob": "*",
    "variable": "$HOME",
    "expression": "${{ github.token }}",
    "workflow command": "staging\n::set-env name=PATH::.",
    "encoded newline": "staging%0Atouch executed",
    "unseen": "staging\u200b",
    "very long": "a" * 100_000,
}
FIELDS = [
    ("rollback", "rollback", "ENVIRONMENT"),
    ("rollback", "rollback", "RELEASE"),
    ("rollback", "rollback", "MODEL"),
    ("deploy", "accepted", "ENVIRONMENT"),
    ("deploy", "named", "ENVIRONMENT"),
    ("deploy", "named", "RELEASE"),
    ("retrain", "retrain", "MODEL"),
    ("retrain", "retrain", "ENVIRONMENT"),
    ("monitor", "monitor", "ENVIRONMENT"),
]
HONEST = {
    "ENVIRONMENT": "staging",
    "RELEASE": "",
    "MODEL": "",
    "REASON": "a test",
    "FROM": "staging",
    "CANARY": "",
    "BECAUSE": "a test",
}


def given(workflow: str, step: str, folder: Path, **values: str) -> list[str]:
    """The arguments that `mlops` is given by a step, where GitHub puts these values into its environment."""
    job = graph.read(OURS / f"{workflow}.yml")["jobs"][workflow]
    (line,) = [one for one in job["steps"] if one.get("id") == step]
    assert set(values) <= set(line["env"]), "the step takes it from the environment"
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    (place / "mlops").write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(folder / 'told')!r}, 'w'))\n"
    )
    (place / "mlops").chmod(0o755)
    environment = {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), **HONEST, **values}
    shell = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", line["run"]]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "told").read_text())


def test_a_hostile_input_stays_one_word_and_is_refused_with_exit_code_2(shop, tmp_path, monkeypatch, capsys):
    """Promise 22."""
    assert len(HOSTILE) >= 20
    monkeypatch.chdir(shop)
    stands = {path: path.read_bytes() for path in shop.rglob("pointer.json")}
    for kind, (workflow, step, field) in itertools.product(HOSTILE, FIELDS):
        words = given(workflow, step, tmp_path, **{field: HOSTILE[kind]})
        values = {word.partition("=")[2] if word.startswith("--") else word for word in words} | set(words)
        assert HOSTILE[kind] in values, f"{kind} in {field} was taken apart: {words}"
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2, f"{kind} in {field}: {capsys.readouterr().err[:500]}"
        assert not (tmp_path / "executed").exists(), kind
    assert {path: path.read_bytes() for path in shop.rglob("pointer.json")} == stands, "nothing moved"
    assert not (shop / "executed").exists()


def test_a_hostile_reason_is_a_reason(tmp_path):
    """Promise 22: a reason is free text; it is kept as it was typed, and is nothing but text."""
    for kind, (workflow, step) in itertools.product(HOSTILE, (("rollback", "rollback"), ("deploy", "named"))):
        words = given(workflow, step, tmp_path, REASON=HOSTILE[kind])
        assert f"--reason={HOSTILE[kind]}" in words, kind
        assert f"--because={HOSTILE[kind]}" in given("retrain", "retrain", tmp_path, BECAUSE=HOSTILE[kind]), kind
        assert not (tmp_path / "executed").exists(), kind


def test_what_a_form_leaves_out_is_the_previous_release(shop, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(shop)
    for word in ("", "previous"):
        with pytest.raises(SystemExit) as ended:
            main(given("rollback", "rollback", tmp_path, RELEASE=word))
        assert ended.value.code == 3, "there is none before the first"
        assert "has no release before" in capsys.readouterr().err


@pytest.mark.parametrize(("release", "every"), [("", True), ("fraud_v2-3f9c1a", False)])
def test_where_no_release_is_named_all_that_is_live_is_taken(tmp_path, release, every):
    words = given("deploy", "named", tmp_path, RELEASE=release, ALL="yes" if every else "")
    assert ("--all" in words) is every
    assert words[-2:] == ["staging", release]


def test_a_reason_that_is_a_path_is_not_read(shop, tmp_path):
    """Promise 22: whoever fills the form in would find the file's words in a pull request."""
    from mlops.errors import UsageError
    from mlops.steps.retrain import reason_of

    assert reason_of("/proc/self/environ", shop) == "/proc/self/environ"
    (tmp_path / "secret.json").write_text('{"token": "t0ken"}')
    with pytest.raises(UsageError, match="is no report of a monitor"):
        reason_of(str(tmp_path / "secret.json"), shop)
