"""The growing pipeline as a Kedro project: a node for each view and each model, every output kept as a file.

Kedro knows no reuse by content. `--only-missing-outputs` is the nearest: it leaves out a node whose outputs exist, and
asks neither for changed code nor for changed data, so it answers less than ours does. Its telemetry is a plugin, and
is taken out of the environment.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import uv

from benchmarks.ratio import process

REQUIREMENTS = ("kedro==1.7.0", "kedro-datasets==9.6.0")
PROJECT = """
[tool.kedro]
package_name = "growing"
project_name = "growing"
kedro_init_version = "1.7.0"
"""
CATALOG = """
payments:
  type: text.TextDataset
  filepath: payments.csv
"{kind}_{n}":
  type: text.TextDataset
  filepath: "out/{kind}_{n}"
"""
NODES = """
from kedro.pipeline import node, pipeline

def view_{a}(payments): return payments[-2000:]
def view_{b}(payments): return payments[-2000:]
def model_{n}(one, other): return one[-2000:] + other[-2000:]

made = pipeline([
    node(view_{a}, "payments", "view_{a}", name="view_{a}"),
    node(view_{b}, "payments", "view_{b}", name="view_{b}"),
    node(model_{n}, ["view_{a}", "view_{b}"], "model_{n}", name="model_{n}"),
])
"""
REGISTRY = """
from importlib import import_module

from kedro.pipeline import pipeline

def register_pipelines():
    return {{"__default__": pipeline([import_module(f"growing.model_{{n}}").made for n in range({models})])}}
"""


def idle(root: Path, models: int, python: Path) -> Callable[[], None]:
    """The call that has nothing to do, in a project written to `root` (which has the table) and run once."""
    source = root / "src" / "growing"
    for folder in (source, root / "conf" / "base", root / "conf" / "local"):
        folder.mkdir(parents=True)
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "conf" / "base" / "catalog.yml").write_text(CATALOG)
    for name in ("__init__.py", "settings.py"):
        (source / name).touch()
    for n in range(models):
        (source / f"model_{n}.py").write_text(NODES.format(n=n, a=2 * n, b=2 * n + 1))
    (source / "pipeline_registry.py").write_text(REGISTRY.format(models=models))
    without = [uv.find_uv_bin(), "pip", "uninstall", "-q", "--python", str(python), "kedro-telemetry"]
    subprocess.run(without, check=True)
    again = process(
        [str(python), "-m", "kedro", "run", "--only-missing-outputs"],
        cwd=root,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    )
    again()
    return again
