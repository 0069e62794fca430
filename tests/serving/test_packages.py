"""Which packages a release was judged with, and what of them this process has otherwise."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from mlops.adapters import python_environment
from mlops.adapters.python_environment import HERE
from mlops.errors import DeploymentFailed
from mlops.serving.packages import Packages, lacking, packages, python_for, unneeded
from tests.serving.releases import contract, make_release


def pin(name, version=None):
    return f"{name}=={version or metadata.version(name)}"


def asked(*pins, python=""):
    return lacking(Packages(python=python, pins=pins))


def test_what_is_installed_as_pinned_is_shared():
    assert asked(pin("numpy"), pin("pandas"), pin("onnxruntime"), python=HERE) == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("numpy==1.0.1", f"numpy 1.0.1 (here {metadata.version('numpy')})"),
        ("no-such-encoder==2.0", "no-such-encoder 2.0 (here none)"),
        ("no-such-encoder", "no-such-encoder any version (here none)"),
        ("pandas>=999", f"pandas >=999 (here {metadata.version('pandas')})"),
    ],
)
def test_what_can_change_an_answer_is_told_with_both_versions(line, said):
    assert asked(line) == (said,)


@pytest.mark.parametrize(
    "line", ["starlette==0.0.1", "bentoml==1.0.0", "numpy==1.0.1; python_version < '3'", "pandas>=1"]
)
def test_what_only_carries_the_answer_and_what_is_not_meant_here_do_not_count(line):
    assert asked(line) == ()


def test_another_version_of_python_is_another_environment():
    assert asked(python="3.7") == (f"Python 3.7 (here {HERE})",)


def test_a_release_says_what_it_was_judged_with(tmp_path):
    name = make_release(tmp_path, contract(stored=False), pins=["numpy==1.0.1", "pandas==2.0.0"])
    assert packages(tmp_path / name) == Packages(python="", pins=("numpy==1.0.1", "pandas==2.0.0"))


def test_one_that_says_nothing_and_one_that_fits_are_hosted_here(tmp_path):
    silent = make_release(tmp_path, contract(stored=False))
    fitting = make_release(tmp_path, contract("fraud_v2", stored=False), pins=[pin("numpy")])
    assert python_for(tmp_path, silent) == python_for(tmp_path, fitting) == Path(sys.executable)


def test_an_environment_that_cannot_be_made_is_refused_with_the_ways_out(tmp_path, monkeypatch):
    releases = tmp_path / "releases"
    releases.mkdir()
    name = make_release(releases, contract(stored=False), pins=["no-such-encoder==2.0"])
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(DeploymentFailed, match=r"was judged with no-such-encoder 2\.0 \(here none\)") as caught:
        python_for(releases, name)
    assert 'packages = "shared"' in caught.value.next_step
    assert [one.name for one in (tmp_path / "python").iterdir() if not one.name.endswith(".lock")] == []
    assert python_for(releases, name, shared=True) == Path(sys.executable)


def test_an_environment_is_made_once_and_has_its_pins_and_the_package_that_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    python = python_environment.interpreter(tmp_path, [])
    made = python.parent.parent.stat().st_mtime_ns
    assert python_environment.interpreter(tmp_path, []) == python
    assert python.parent.parent.stat().st_mtime_ns == made
    [link] = python.parent.parent.glob("lib/python*/site-packages/mlops")
    assert link.resolve() == Path(python_environment.__file__).parents[1]
    link.unlink()
    link.symlink_to(tmp_path)  # as an older mlops left it
    python_environment.interpreter(tmp_path, [])
    assert link.resolve() == Path(python_environment.__file__).parents[1]
    assert "PYTHONPATH" not in python_environment.variables({"PYTHONPATH": "x"}, python)
    assert "PYTHONPATH" in python_environment.variables({"PYTHONPATH": "x"}, Path(sys.executable))


def test_environments_that_no_kept_release_needs_are_named(tmp_path):
    releases = tmp_path / "releases"
    releases.mkdir()
    kept = make_release(releases, contract(stored=False), pins=["numpy==1.0.1"])
    gone = make_release(releases, contract("fraud_v2", stored=False), pins=["numpy==1.0.2"])
    places = {
        name: python_environment.place(tmp_path / "python", packages(releases / name).pins) for name in (kept, gone)
    }
    for place in places.values():
        place.mkdir(parents=True)
    (tmp_path / "python" / ".cache").mkdir()
    assert unneeded(releases, [kept, gone]) == []
    assert unneeded(releases, [kept]) == [places[gone]]
