"""The user's tests in a process of their own: what is reported, and what is left behind."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mlops.adapters.pytest_run import Given, Ran, RunningTests
from mlops.config import Config


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


def given(root: Path, **more: object) -> Given:
    return Given(
        on="model",
        subject="churn_v1",
        root=str(root),
        config=Config(),
        marks=("churn_v1", "churn"),
        known=("churn", "churn_v1", "risk", "risk_v1"),
        **more,
    )


OUTCOMES = """
import unittest
import warnings
import pytest

@pytest.fixture
def broken(): assert False, 'in the fixture'

def test_holds(): pass
def test_does_not_hold(): assert 1 == 2, 'why'
def test_says_no(): pytest.fail('by hand')
def test_crashes(): {}['x']
def test_by_a_broken_fixture(broken): pass
def test_asks_for_what_is_nowhere(no_such_fixture): pass
def test_asks_another_gate(mlops_ask): pass
def test_returns(): return False
@pytest.mark.xfail(reason='known')
def test_fails_as_expected(): assert False
@pytest.mark.xfail(strict=True, reason='known')
def test_holds_against_expectation(): pass
@pytest.mark.parametrize('k', [1, 2])
def test_each(k): assert k == 1

class TestOld(unittest.TestCase):
    def test_equal(self): self.assertEqual(1, 2)

@pytest.mark.mlops_model('churn')
def test_of_this_family(): pass
@pytest.mark.mlops_model('risk', 'churn_v1')
def test_of_this_version_too(): pass
@pytest.mark.mlops_model('risk')
def test_of_another(): pass
@pytest.mark.mlops_model('chrun')
def test_of_a_misspelt(): pass
@pytest.mark.mlops_model
def test_of_nobody(): pass
@pytest.mark.mlops_source('orders')
def test_of_a_source(): pass
"""


def test_what_a_gate_s_tests_say_and_what_they_could_not_say_are_told_apart(tmp_path: Path) -> None:
    """Promise 2: only an assertion is a no; a crash, a broken fixture or a mark that names nobody did not run."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(OUTCOMES, encoding="utf-8")
    ran = finished(RunningTests(tmp_path, ["tests"], tmp_path, given=given(tmp_path)))
    assert not ran.crashed
    ended = {t.id.partition("::")[2]: (t.outcome, t.asserted) for t in ran.tests}
    assert ended == {
        "test_holds": ("passed", False),
        "test_does_not_hold": ("failed", True),
        "test_says_no": ("failed", True),
        "test_crashes": ("failed", False),
        "test_by_a_broken_fixture": ("failed", False),
        "test_asks_for_what_is_nowhere": ("failed", False),
        "test_asks_another_gate": ("failed", False),
        "test_returns": ("failed", False),
        "test_fails_as_expected": ("skipped", False),
        "test_holds_against_expectation": ("failed", True),
        "test_each[1]": ("passed", False),
        "test_each[2]": ("failed", True),
        "TestOld::test_equal": ("failed", True),
        "test_of_this_family": ("passed", False),
        "test_of_this_version_too": ("passed", False),
    }
    said = {t.id.partition("::")[2]: t.message for t in ran.tests}
    assert "`mlops check-service`, and this is `mlops check-model`" in said["test_asks_another_gate"]
    assert "fails as expected" in said["test_fails_as_expected"]
    assert ran.elsewhere == 1
    wrong = {error.id.partition("::")[2]: error.message for error in ran.errors}
    assert set(wrong) == {"test_of_a_misspelt", "test_of_nobody", "test_of_a_source"}
    assert "names 'chrun'; there are churn, churn_v1, risk, risk_v1" in wrong["test_of_a_misspelt"]
    assert "names nothing" in wrong["test_of_nobody"]
    assert "is marked mlops_source; tests of this gate are marked mlops_model" in wrong["test_of_a_source"]


def test_a_file_that_skips_itself_and_one_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    (tmp_path / "tests" / "test_b.py").write_text("import no_such_module\n")
    ran = finished(RunningTests(tmp_path, ["tests"], tmp_path, given=given(tmp_path)))
    assert [one.id for one in ran.skipped] == ["tests/test_a.py"]
    assert [one.id for one in ran.errors] == ["tests/test_b.py"]


def test_a_process_that_ends_in_the_middle_is_no_pass(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("import os\ndef test_a(): pass\ndef test_b(): os._exit(0)\n")
    assert "code 0" in finished(RunningTests(tmp_path, ["tests"], tmp_path, given=given(tmp_path))).crashed
