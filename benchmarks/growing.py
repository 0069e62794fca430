"""A repository that grows to 100 models and 200 feature views, beside the same pipeline elsewhere; and its memory.

Each model reads two views of its own; all read one table. What stands beside it is the same pipeline in DVC, Kedro and
ZenML: its stages, nodes and steps have the same inputs and outputs, and do next to nothing. DVC's lock is written by
`dvc commit`, so that its first run need not be waited for. Each comes by uv into an environment of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import uv

from benchmarks.ratio import Ratio, alternating, process
from benchmarks.rivals import growing_kedro, growing_zenml

MANY, ROUNDS = 100, 5
PROJECT = """
[project]
name = "growing"
[tool.mlops]
deepchecks = false
tests = []
[tool.mlops.sources.payments]
path = "payments.csv"
timestamps = { at = "" }
"""
VIEW = '''

@feature_view(source="payments", entity="customer", timestamp="at", columns=["value_{n}"])
def view_{n}_v1(payments):
    """Amounts of the last rows, scaled by a number of its own."""
    found = payments[["customer", "at"]].assign(value_{n}=payments["amount"] * {n}.5)
    return found.drop_duplicates(["customer", "at"])
'''
MODEL = """

@model(source="payments", label="fraud", timestamp="at", request=["amount"], task="binary", metric="roc_auc",
       features=[view_{a}_v1, view_{b}_v1])
def model_{n}_v1(X, y, params):
    return make_pipeline(SimpleImputer(), LogisticRegression()).fit(X, y)
"""
SCRIPT = """
import sys
from pathlib import Path
output, *inputs = sys.argv[1:]
Path(output).write_bytes(b"".join(Path(one).read_bytes()[-2000:] for one in inputs))
"""


def generate(root: Path, models: int) -> Path:
    """A repository with so many models, twice as many views, and one commit."""
    root.mkdir(parents=True)
    (root / "pyproject.toml").write_text(PROJECT)
    (root / ".gitignore").write_text(".mlops/\n__pycache__/\n.dvc/\n")
    for folder in ("features", "models"):
        (root / folder).mkdir()
        (root / folder / "__init__.py").touch()
    for n in range(models):
        views = "from mlops import feature_view\n" + "".join(VIEW.format(n=k) for k in (2 * n, 2 * n + 1))
        (root / "features" / f"views_{n}.py").write_text(views)
        head = f"""
            from mlops import model
            from sklearn.impute import SimpleImputer
            from sklearn.linear_model import LogisticRegression
            from sklearn.pipeline import make_pipeline
            from features.views_{n} import view_{2 * n}_v1, view_{2 * n + 1}_v1
            """
        code = textwrap.dedent(head) + MODEL.format(n=n, a=2 * n, b=2 * n + 1)
        (root / "models" / f"model_{n}.py").write_text(code)
    random = np.random.default_rng(1)
    amount = random.gamma(2, 20, 400).round(2)
    at = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.sort(random.integers(0, 5_000_000, 400)), unit="s")
    fraud = (amount + random.normal(0, 10, 400) > 50).astype(int)
    table = pd.DataFrame({"customer": random.integers(1, 40, 400), "at": at, "amount": amount, "fraud": fraud})
    table.to_csv(root / "payments.csv", index=False)
    _git(root, "init", "-q")
    _commit(root)
    return root


def dvc(root: Path, models: int) -> Path:
    """The same pipeline in DVC: a stage for each view and each model, its lock as after a run."""
    (root / "stage.py").write_text(SCRIPT)
    made = [one for n in range(models) for one in _stages(n)]
    stages = [_stage(*one) for one in made]
    (root / "dvc.yaml").write_text("stages:\n" + "".join(stages))
    (root / "out").mkdir()
    for output, inputs in made:
        (root / output).write_bytes(b"".join((root / one).read_bytes()[-2000:] for one in inputs))
    return root


def _stages(n: int) -> Iterator[tuple[str, list[str]]]:
    """Outputs of a model's stages with what they read."""
    for k in (2 * n, 2 * n + 1):
        yield f"out/view_{k}", [f"features/views_{n}.py", "payments.csv"]
    yield f"out/model_{n}", [f"models/model_{n}.py", f"out/view_{2 * n}", f"out/view_{2 * n + 1}"]


def _stage(output: str, inputs: list[str]) -> str:
    listed = "".join(f"    - {one}\n" for one in inputs)
    command = f"{sys.executable} stage.py {output} {' '.join(inputs)}"
    return f"  {Path(output).name}:\n    cmd: {command}\n    deps:\n{listed}    outs:\n    - {output}\n"


def measure() -> list[Ratio]:
    """Medians of alternating calls; a rival's are left out, with a word, where it cannot be installed."""
    with tempfile.TemporaryDirectory(prefix="growing-") as folder:
        place = Path(folder)
        one, many = generate(place / "one", 1), generate(place / "many", MANY)
        for root in (one, many):
            _mlops(root, "train")()
        found = [_memory(one, many)]
        for name, rival in (("Kedro", growing_kedro), ("ZenML", growing_zenml)):
            home = place / name
            python = _installed(home / "environment", name, *rival.REQUIREMENTS)
            if python is not None:
                root = home / "project"
                root.mkdir()
                shutil.copy(many / "payments.csv", root)
                again = rival.idle(root, MANY, python)
                idle = alternating(_mlops(many, "train"), again, rounds=3)
                found.append(Ratio("-", f"nothing to do, {MANY} models, / {name}", *idle, 1.0))
        python = _installed(place / "dvc", "DVC", "dvc")
        return found if python is None else [*found, *_beside(python.with_name("dvc"), many, MANY)]


def _beside(rival: Path, root: Path, models: int) -> list[Ratio]:
    dvc(root, models)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    for command in (["init", "-q", "-f", "--no-scm"], ["commit", "-f", "-q"]):
        subprocess.run([str(rival), *command], cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
    again = process([str(rival), "repro", "-q"], cwd=root, env=environment)
    again()
    ours = _mlops(root, "train")
    idle = alternating(ours, again, rounds=ROUNDS)

    def edited(run: Callable[[], None]) -> Callable[[], None]:
        def changed() -> None:
            _edit(root)
            run()

        return changed

    change = alternating(edited(ours), edited(again), rounds=3)
    return [
        Ratio("", f"nothing to do, {models} models, / dvc repro", *idle, 1.0),
        Ratio("", f"one view changed, {models} models, / dvc repro", *change, 3.0),
    ]


def _memory(one: Path, many: Path) -> Ratio:
    """The peak of a run with nothing to do: it must not grow with the models."""
    peaks = [_peak(root) for root in (many, one)]
    return Ratio("", f"memory with nothing to do, {MANY} models / 1", peaks[0], peaks[1], 1.5, unit="MB")


def _peak(root: Path) -> float:
    """Megabytes that the command had resident at most, by the system's account of its children."""
    code = f"""
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "mlops", "train"], cwd={str(root)!r}, check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
"""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def _installed(folder: Path, name: str, *requirements: str) -> Path | None:
    """The Python of a new environment that has these; nothing, with a word, where they cannot be installed."""
    python = folder / "bin" / "python"
    for command in (
        ["venv", "-q", "--python", sys.executable, str(folder)],
        ["pip", "install", "-q", "--python", str(python), *requirements],
    ):
        if subprocess.run([uv.find_uv_bin(), *command], check=False).returncode:
            print(f"  {name} cannot be installed here: it is not compared", file=sys.stderr)
            return None
    return python


def _mlops(root: Path, *arguments: str) -> Callable[[], None]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return process([sys.executable, "-m", "mlops", *arguments], cwd=root, env=variables)


def _edit(root: Path) -> None:
    """Another number in one view."""
    file = root / "features" / "views_0.py"
    head, found, rest = file.read_text().partition(" * ")
    number, end, rest = rest.partition(")")
    file.write_text(f"{head}{found}{float(number) + 1}{end}{rest}")


def _commit(root: Path) -> None:
    _git(root, "add", ".")
    _git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", "--allow-empty")


def _git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, stdout=subprocess.DEVNULL)
