"""The growing pipeline in ZenML: a step for each view and each model, caching on, on its local stack.

A view's step has the table among the files of its cache policy, so that a changed table is noticed, as ours and DVC
notice it. What ZenML would record of each step beside its output (logs, pictures, metadata) is off: it would only make
it slower. Its database and artifacts are in the project's folder, and its analytics are off.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.ratio import process

REQUIREMENTS = ("zenml[local]==0.98.0",)
STEPS = """
from zenml import step
from zenml.config import CachePolicy

reads = CachePolicy(file_dependencies=["payments.csv"])
plain = {{"enable_step_logs": False, "enable_artifact_metadata": False, "enable_artifact_visualization": False}}

@step(cache_policy=reads, **plain)
def view_{a}() -> str:
    return open("payments.csv").read()[-2000:]

@step(cache_policy=reads, **plain)
def view_{b}() -> str:
    return open("payments.csv").read()[-2000:]

@step(**plain)
def model_{n}(one: str, other: str) -> str:
    return one[-2000:] + other[-2000:]

def made() -> None:
    model_{n}(view_{a}(), view_{b}())
"""
PIPELINE = """
from importlib import import_module

from zenml import pipeline

@pipeline(enable_cache=True, enable_pipeline_logs=False)
def growing() -> None:
    for n in range({models}):
        import_module(f"steps.model_{{n}}").made()

if __name__ == "__main__":
    growing()
"""


def idle(root: Path, models: int, python: Path) -> Callable[[], None]:
    """The call that has nothing to do, in a project written to `root` (which has the table) and run once."""
    steps = root / "steps"
    steps.mkdir()
    (steps / "__init__.py").touch()
    for n in range(models):
        (steps / f"model_{n}.py").write_text(STEPS.format(n=n, a=2 * n, b=2 * n + 1))
    (root / "run.py").write_text(PIPELINE.format(models=models))
    environment = {
        **os.environ,
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_CONFIG_PATH": str(root / "state"),
        "ZENML_LOGGING_VERBOSITY": "WARN",
    }
    start = [str(python.with_name("zenml")), "init"]
    subprocess.run(start, cwd=root, env=environment, check=True, capture_output=True)
    again = process([str(python), "run.py"], cwd=root, env=environment)
    again()
    return again
