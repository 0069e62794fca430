"""The user's tests in a process of their own: what is reported, and what is left behind."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mlops.adapters.pytest_run import Ran, RunningTests


@pytest.fixture
def run(tmp_path: Path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def running(code: str) -> RunningTests:
        folder = tmp_path / "project" / "tests"
        folder.mkdir(parents=True)
        (folder / "test_it.py").write_text(code, encoding="utf-8")
        return RunningTests(folder.parent, ["tests"], scratch)

    return running


def finished(running: RunningTests) -> Ran:
    with running:
        return running.finish()


def test_each_test_is_reported_with_its_outcome_and_what_it_called(run, tmp_path: Path) -> None:
    ran = finished(
        run(
            "import pytest\n"
            "from mlops import feature_view\n"
            "@feature_view(source='s', entity='e', timestamp='t')\n"
            "def spend_v1(frame): return frame\n"
            "@pytest.fixture\n"
            "def spent(): return spend_v1(1)\n"
            "def test_by_fixture(spent): assert spent == 1\n"
            "def test_not_called(): pass\n"
            "def test_fails(): spend_v1(2); assert False, 'no'\n"
            "def test_skipped(): pytest.skip('later')\n"
            "def test_called_again(): spend_v1(3)\n"
        )
    )
    assert {t.id.partition("::")[2]: (t.outcome, t.called) for t in ran.tests} == {
        "test_by_fixture": ("passed", ("spend_v1",)),
        "test_not_called": ("passed", ()),
        "test_fails": ("failed", ("spend_v1",)),
        "test_skipped": ("skipped", ()),
        "test_called_again": ("passed", ("spend_v1",)),
    }
    failed = next(t for t in ran.tests if t.outcome == "failed")
    assert "test_it.py:9: AssertionError: no" in failed.message
    assert not list((tmp_path / "scratch").iterdir())


def test_an_error_in_tear_down_fails_the_test(run) -> None:
    ran = finished(run("import pytest\n@pytest.fixture\ndef x():\n    yield\n    1 / 0\ndef test_it(x): pass\n"))
    assert [t.outcome for t in ran.tests] == ["failed"]


def test_leaving_early_ends_the_tests_and_their_children(run, tmp_path: Path) -> None:
    started = tmp_path / "started"
    code = (
        "import pathlib, subprocess, time\n"
        "def test_long():\n"
        "    child = subprocess.Popen(['sleep', '600'])\n"
        f"    pathlib.Path({str(started)!r} + '.new').write_text(str(child.pid))\n"
        f"    pathlib.Path({str(started)!r} + '.new').rename({str(started)!r})\n"
        "    time.sleep(600)\n"
    )
    with run(code) as running:
        while not started.exists():
            assert running.alive
    child = int(started.read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
