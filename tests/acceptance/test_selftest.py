"""Calibration: on honest tables every gate passes the table as it is, and finds every planted fault."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.acceptance.journeys import mlops

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
ROWS = 10_000
"""A real table's rows, in their order, are thinned out to so many: the self-test asks deepchecks a dozen times."""

SECONDS = 300.0
"""All rows together; on a machine with nothing else to do they take a tenth of that."""


def demand_right(project: Path, *more: str) -> None:
    """Every row is right, and every gate that applies everywhere (and `more`) has faults and a sound case."""
    done = mlops("selftest", "--json", cwd=project)
    rows = done.json
    assert [row for row in rows if not row["right"]] == []
    assert done.code == 0
    assert {row["gate"] for row in rows if row["check"]} >= {*EVERYWHERE, *more}
    assert {row["gate"] for row in rows if not row["check"]} >= {*EVERYWHERE, *more}
    assert sum(row["seconds"] for row in rows) < SECONDS


EVERYWHERE = (
    "schema", "data", "integrity", "training_set", "train_test", "train", "model", "file", "package", "service",
)  # fmt: skip


def test_every_planted_fault_is_found_in_the_example_project(tmp_path: Path) -> None:
    """PROMISES 1: 100 % right on the example, features included."""
    project = tmp_path / "example"
    for folder in ("features", "models", "tests/features"):
        shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "bentofile.yaml"):
        shutil.copyfile(ROOT / file, project / file)
    demand_right(project, "features")


REAL = {
    "bank": ("bank_marketing/bank.csv", "deposit"),
    "bike": ("bike_sharing/bike.csv", "cnt", "--timestamp", "dteday"),
}


@pytest.mark.parametrize("name", REAL)
def test_every_planted_fault_is_found_in_a_real_table(name: str, real_tables: Path, tmp_path: Path) -> None:
    """PROMISES 1: 100 % right on a classification and on a regression."""
    file, label, *options = REAL[name]
    whole = (real_tables / file).read_text().splitlines(keepends=True)
    step = max(1, len(whole) // ROWS)
    table = tmp_path / f"{name}.csv"
    table.write_text("".join([whole[0], *whole[1::step]]))
    begun = mlops("init", name, "--data", str(table), "--label", label, *options, cwd=tmp_path)
    assert begun.code == 0, begun
    demand_right(tmp_path / name)


def visits(rows: int = 1_500) -> pd.DataFrame:
    """Words, numbers with gaps, a time, and two classes that are not the same size."""
    random = np.random.default_rng(11)
    age, plan = random.integers(18, 90, rows), random.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1])
    spend = random.gamma(2.0, 25.0, rows).round(2)
    left = 0.03 * age + (plan == "basic") - spend / 60 + random.normal(0, 0.5, rows) > 1.3
    day = pd.date_range("2024-01-01", periods=rows, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    frame = pd.DataFrame({"at": day, "age": age, "plan": plan, "spend": spend, "left": np.where(left, "yes", "no")})
    return frame.assign(spend=frame["spend"].mask(random.random(rows) < 0.04))


def houses(rows: int = 1_200) -> pd.DataFrame:
    """Numbers and a word, and an amount that depends on them."""
    random = np.random.default_rng(12)
    size, rooms = random.gamma(9, 12, rows).round(1), random.integers(1, 8, rows)
    town = random.choice(["Bonn", "Kiel", "Ulm", "Jena"], rows)
    price = 2_000 * size + 9_000 * rooms + 30_000 * (town == "Bonn") + random.normal(0, 15_000, rows)
    return pd.DataFrame({"size": size, "rooms": rooms, "town": town, "price": price.round(0)})


GENERATED: dict[str, tuple[Callable[[], pd.DataFrame], tuple[str, ...]]] = {
    "visits": (visits, ("--label", "left", "--timestamp", "at")),
    "houses": (houses, ("--label", "price")),
}


@pytest.mark.parametrize("name", GENERATED)
def test_a_small_honest_table_runs_untouched_and_every_planted_fault_is_found(name: str, tmp_path: Path) -> None:
    """PROMISES 1, where there are no real tables, too."""
    make, options = GENERATED[name]
    make().to_csv(tmp_path / f"{name}.csv", index=False)
    begun = mlops("init", name, "--data", str(tmp_path / f"{name}.csv"), *options, cwd=tmp_path)
    assert begun.code == 0, begun
    ran = mlops("run", "--no-deploy", "--json", cwd=tmp_path / name)
    assert ran.code == 0, ran
    demand_right(tmp_path / name)
