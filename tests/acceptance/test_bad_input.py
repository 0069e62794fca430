"""Bad input through the command line: the right exit code, one clear sentence with the next step, nothing half-done.

Each case starts from a project that works, breaks one thing, and ends with a run that works again.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.adapters.bentoserver import free_port
from tests.acceptance.journeys import Done, environment, mlops

pytestmark = pytest.mark.acceptance

ROWS = 800


def customers() -> pd.DataFrame:
    random = np.random.default_rng(5)
    spend = random.gamma(2.0, 30.0, ROWS).round(2)
    plan = random.choice(["basic", "plus", "pro"], ROWS)
    left = spend + 25 * (plan == "pro") + random.normal(0, 10, ROWS) < 50
    day = pd.date_range("2024-01-01", periods=ROWS, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    return pd.DataFrame(
        {"at": day, "spend": spend, "plan": plan, "visits": random.integers(0, 9, ROWS), "left": left * 1}
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A project that works, with its table inside; deepchecks has journeys of its own."""
    folder = tmp_path_factory.mktemp("bad") / "churn"
    folder.mkdir()
    customers().to_csv(folder / "customers.csv", index=False)
    begun = mlops("init", ".", "--data", "customers.csv", "--label", "left", "--timestamp", "at", cwd=folder)
    assert begun.code == 0, begun
    settings = folder / "pyproject.toml"
    settings.write_text(settings.read_text().replace("[tool.mlops]\n", "[tool.mlops]\ndeepchecks = false\n"))
    return folder


@pytest.fixture
def project(sound, tmp_path) -> Path:
    """The project, fresh: nothing has run in it."""
    return Path(shutil.copytree(sound, tmp_path / "churn"))


@pytest.fixture(scope="module")
def trained_once(sound, tmp_path_factory) -> Path:
    folder = Path(shutil.copytree(sound, tmp_path_factory.mktemp("trained") / "churn"))
    ran = mlops("train", cwd=folder)
    assert ran.code == 0, ran
    return folder


@pytest.fixture
def trained(trained_once, tmp_path) -> Path:
    """The project with a training behind it, which the next run of the unbroken project may use again."""
    return Path(shutil.copytree(trained_once, tmp_path / "churn"))


def demand(done: Done, code: int, *said: str) -> None:
    """The exit code, the words, a next step, and no traceback."""
    assert done.code == code, done
    text = done.out + done.err
    assert "Traceback" not in text, done
    for words in said:
        assert words in text, done
    assert "next:" in text, done


def leftovers(project: Path) -> list[str]:
    """Temporary files and half releases."""
    home = project / ".mlops"
    found = [str(p.relative_to(project)) for p in home.rglob("*.tmp")]
    return found + [p.name for p in (home / "releases").glob("*") if not (p / "manifest.json").exists()]


def breaks(project: Path, change) -> None:
    """Change the table by lines."""
    file = project / "customers.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(change(lines)) + "\n")


def cells(column: str, value):
    """A change of the table: `value` (or the result of calling it) in each cell of a column."""

    def change(lines: list[str]) -> list[str]:
        position = lines[0].split(",").index(column)
        rows = [line.split(",") for line in lines]
        for number, row in enumerate(rows[1:], 1):
            row[position] = str(value(number, row[position]) if callable(value) else value)
        return [",".join(row) for row in rows]

    return change


class TestTables:
    @pytest.mark.parametrize(
        ("change", "code", "said"),
        [
            (lambda lines: [line.rpartition(",")[0] for line in lines], 2, ("no label column 'left'",)),
            (cells("left", 1), 1, ("left", "1")),
            (cells("left", ""), 1, ("left",)),
            (lambda lines: [*lines[:9], f"{lines[9]},7", *lines[10:]], 1, ("customers.csv:10 has 6 fields",)),
            (
                cells("spend", lambda n, v: "abc" if n == 400 else v),
                1,
                ("'abc' at customers.csv:401", 'missing = ["abc"]'),
            ),
            (lambda lines: lines[:1], 3, ("has no rows",)),
            (lambda lines: [], 3, ("is empty",)),
            (cells("at", lambda n, v: "soon" if n == 7 else v), 1, ("customers.csv:8: at = 'soon'", "ISO 8601")),
            (lambda lines: ["at,spend,plan,spend,left", *lines[1:]], 1, ("'spend' is column 2 and 4",)),
        ],
        ids=["label-gone", "label-constant", "label-null", "ragged", "mixed", "header-only", "empty", "time", "twice"],
    )
    def test_an_unsound_table_is_refused_and_the_next_run_works(self, trained, change, code, said):
        project = trained
        whole = (project / "customers.csv").read_text()
        breaks(project, change)
        demand(mlops("train", cwd=project), code, *said)
        assert leftovers(project) == []
        (project / "customers.csv").write_text(whole)
        again = mlops("train", cwd=project)
        assert again.code == 0, again

    def test_a_label_that_is_gone_is_a_schema_skew_to_the_whole_run(self, trained):
        breaks(trained, lambda lines: [line.rpartition(",")[0] for line in lines])
        demand(mlops("run", cwd=trained), 1, "left")
        assert leftovers(trained) == []

    def test_a_wrong_encoding_names_byte_line_and_likely_encoding(self, project):
        breaks(project, cells("plan", lambda n, v: "größer" if n == 3 else v))
        text = (project / "customers.csv").read_text()
        (project / "customers.csv").write_bytes(text.encode("cp1252"))
        demand(mlops("check-data", cwd=project), 1, "customers.csv:4: byte", 'encoding = "cp1252"')

    def test_a_missing_file_names_the_nearest(self, project):
        (project / "customers.csv").rename(project / "customer.csv")
        demand(mlops("check-data", cwd=project), 2, "customers.csv", "did you mean 'customer.csv'?")

    @pytest.mark.parametrize(
        ("options", "code", "said"),
        [
            (("--label", "lefft"), 2, "did you mean 'left'?"),
            (("--label", "left", "--timestamp", "plan"), 1, "is not a time"),
            (("--label", "left", "--ignore", "plann"), 2, "did you mean 'plan'?"),
            (("--label", "left", "--tsak", "binary"), 2, "--task"),
        ],
    )
    def test_init_refuses_what_it_cannot_do_and_writes_nothing(self, sound, tmp_path, options, code, said):
        done = mlops("init", "new", "--data", str(sound / "customers.csv"), *options, cwd=tmp_path)
        assert done.code == code, done
        assert said in done.out + done.err
        assert list(tmp_path.iterdir()) == []


class TestTraining:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ('raise ValueError("no convergence")', ("no convergence", "churn.py")),
            ("return None", ("None",)),
            ("return Pipeline([('boost', HistGradientBoostingClassifier())])", ("fit",)),
        ],
        ids=["raises", "none", "unfitted"],
    )
    def test_a_training_function_that_fails_is_named_and_the_next_run_works(self, trained, body, said):
        project = trained
        module = project / "models/churn.py"
        whole = module.read_text()
        head, mark, _ = whole.partition("    encode = ")
        assert mark
        module.write_text(f"{head}    {body}\n")
        demand(mlops("train", cwd=project), 1, *said)
        assert leftovers(project) == []
        module.write_text(whole)
        again = mlops("train", cwd=project)
        assert again.code == 0, again


class TestTheWorldOutside:
    def test_an_unreachable_ledger_is_told_with_its_address(self, project):
        address = f"http://127.0.0.1:{free_port()}"
        demand(mlops("train", cwd=project, MLFLOW_TRACKING_URI=address), 4, address)
        again = mlops("train", cwd=project)
        assert again.code == 0, again

    def test_a_taken_port_is_told(self, project):
        ran = mlops("run", cwd=project)
        assert ran.code == 0, ran
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = str(other.getsockname()[1])
            demand(mlops("serve", "staging", "--port", port, cwd=project), 4, port)

    def test_a_full_disk_is_told_with_the_path_and_the_next_run_works(self, project):
        """Promise 14: disk full: exit 4 with the path, no temporary file left."""
        home = project / ".mlops"
        home.mkdir(exist_ok=True)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(home)], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip("a small file system can only be mounted by root")
        try:
            demand(mlops("train", cwd=project), 4, ".mlops", "space")
            assert leftovers(project) == []
        finally:
            subprocess.run(["umount", str(home)], check=True)
        again = mlops("train", cwd=project)
        assert again.code == 0, again

    def test_a_killed_run_leaves_nothing_half_done_and_the_next_one_ends_it(self, project):
        """Promise 12, one point of it: SIGKILL in the middle, then the same state as without."""
        command = [sys.executable, "-m", "mlops", "run"]
        running = subprocess.Popen(
            command,
            cwd=project,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        store = project / ".mlops/store"
        deadline = time.monotonic() + 120
        while not (store.is_dir() and any(store.rglob("*"))):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.5)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        assert not (project / ".mlops/releases").exists() or leftovers(project) == []
        again = mlops("run", "--json", cwd=project)
        assert again.code == 0, again
        assert leftovers(project) == []
        reference = Path(shutil.copytree(project, project.parent / "whole", ignore=shutil.ignore_patterns(".mlops")))
        whole = mlops("run", "--json", "--no-deploy", cwd=reference)
        assert whole.json["releases"] == again.json["releases"]
