"""PROMISES 29: `mlops plan` in a repository of a hundred models beside one of a single model; one view changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.ratio import Ratio, alternating
from tests import small

_ROUNDS = 7
_SETTINGS = '[project]\nname = "many"\n[tool.mlops.sources.events]\npath = "events.csv"\n'
_SHARED = "def tidy(events):\n    return events\n"
_VIEW = """
from mlops import feature_view
from features.shared import tidy


@feature_view(source="events", entity="customer", timestamp="at")
def spend{number}_v1(events):
    return tidy(events)
"""
_MODEL = """
from mlops import model
from features.view{number} import spend{number}_v1


@model(source="events", label="left", features=[spend{number}_v1], timestamp="at")
def churn{number}_v1(X, y, params):
    return None
"""


def measure() -> list[Ratio]:
    """The medians of seven plans each, in turn; each must name the one model that reads the changed view."""
    with tempfile.TemporaryDirectory() as folder:
        many, one = (_planned(_written(Path(folder) / str(count), count)) for count in (100, 1))
        hundred, single = alternating(many, one, rounds=_ROUNDS)
    return [Ratio("29", "mlops plan, 100 models / 1 model", hundred, single, 3.0)]


def _written(root: Path, count: int) -> Path:
    files = {"pyproject.toml": _SETTINGS, "features/__init__.py": "", "models/__init__.py": "", "events.csv": "a\n1\n"}
    files["features/shared.py"] = _SHARED
    for number in range(count):
        files[f"features/view{number}.py"] = _VIEW.format(number=number)
        files[f"models/churn{number}.py"] = _MODEL.format(number=number)
    small.write(root, files)
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "start"]):
        subprocess.run([*git, *words], check=True)
    small.edit(root / "features/view0.py", "return tidy(events)", "return tidy(tidy(events))")
    return root


def _planned(root: Path):
    words = [sys.executable, "-m", "mlops", "plan", "--base", "main", "--json"]
    variables = {**small.variables(), "PYTHONPATH": os.pathsep.join([str(Path.cwd())])}

    def plan() -> None:
        done = subprocess.run(words, cwd=root, env=variables, check=True, capture_output=True, text=True)
        assert json.loads(done.stdout)["needed"] == ["churn0_v1"]

    return plan
