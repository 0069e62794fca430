"""Issue 4, scale: ten million events into a view with windows of 7 and 30 days, and what one new day costs.

Each measurement is a process of its own, bound to one core or two; memory is the sum of what it and its children hold
at any moment. The rival is the function called on the whole frame, as anybody would, on two million events: on all of
them it needs five times the memory. Both write the same rows, which is looked at.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.ratio import Ratio

ROOT = Path(__file__).parents[1]
EVENTS, SMALLER, CUSTOMERS, DAYS = 10_000_000, 2_000_000, 200_000, 365
VIEW = """
import pandas as pd
from mlops import feature_view


@feature_view(source="payments", entity="customer", timestamp="at", window="30d")
def spend_v1(payments):
    rows = payments.sort_values(["customer", "at"], kind="stable")
    found = rows[["customer", "at"]].copy()
    for days in (7, 30):
        table = rows[["customer", "at", "amount"]]
        rolled = table.groupby("customer", sort=False).rolling(pd.Timedelta(days=days), on="at")["amount"]
        found[f"mean_{days}d"] = rolled.mean().round(2).to_numpy()
        found[f"count_{days}d"] = rolled.count().to_numpy()
    return found.drop_duplicates(["customer", "at"], keep="last")
"""


def measure() -> list[Ratio]:
    """Seconds and peak gigabytes in parts and whole, on one core and two, and after one new day."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        small, large, grown = (home / f"{name}.parquet" for name in ("small", "large", "grown"))
        _write(small, SMALLER, DAYS)
        _write(large, EVENTS, DAYS)
        _write(grown, EVENTS + EVENTS // DAYS, DAYS + 1)
        whole = _run(home / "whole", small, cores=1, rows=10**9)
        parts = _run(home / "parts", small, cores=1)
        if parts["digest"] != whole["digest"] or abs(parts["sum"] / whole["sum"] - 1) > 1e-7:
            raise AssertionError("the parts are not the whole")
        one = _run(home / "one", large, cores=1)
        two = _run(home / "two", large, cores=2)
        day = _run(home / "two", grown, cores=2)
        return [
            Ratio("I4.8", "2 M events in parts / whole, one core", parts["seconds"], whole["seconds"], 1.5),
            Ratio("I4.8", "peak, 2 M in parts / whole, one core", parts["peak"], whole["peak"], 1.0, unit="GB"),
            Ratio("I4.8", "10 M on one core / five times 2 M", one["seconds"], 5 * parts["seconds"], 1.2),
            Ratio("I4.8", "peak, 10 M / 2 M, one core", one["peak"], parts["peak"], 1.5, unit="GB"),
            Ratio("I4.8", "10 M events, two cores / one", two["seconds"], one["seconds"], 0.7),
            Ratio("I4.8", "peak, 10 M, two cores / 4 GB", two["peak"], 4.0, 1.0, unit="GB"),
            Ratio("I4.6", "one new day / all 10 M, two cores", day["seconds"], two["seconds"], 0.25),
        ]


def _write(path: Path, events: int, days: int) -> None:
    """Payments evenly over the days; the same ones at the beginning, however many there are."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        step = 86_400 * days * 1_000_000 // events
        connection.execute(
            f"""COPY (
                SELECT i AS id,
                    TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_microseconds(CAST(i * {step} AS BIGINT)) AS "at",
                    CAST(hash(i) % {CUSTOMERS} AS BIGINT) AS customer,
                    round((hash(i * 7) % 100000) / 100.0, 2) AS amount,
                    'shop ' || (hash(i * 3) % 30) AS shop, CAST(hash(i * 5) % 7 AS BIGINT) AS items
                FROM range({events}) r(i)
            ) TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)"""
        )


def _run(root: Path, source: Path, *, cores: int, rows: int | None = None) -> dict[str, Any]:
    """Compute the view over the source in the project at `root`, in a process of its own."""
    _project(root, rows, cores)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.materialize", str(root), str(source)]
    available = sorted(os.sched_getaffinity(0))[:cores]
    bound = ["taskset", "--cpu-list", ",".join(map(str, available)), *command]
    process = subprocess.Popen(bound, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _held(process.pid))
        time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    told = json.loads(process.stdout.read().splitlines()[-1])
    print(f"-      {root.name}: {told['seconds']:.1f} s, {peak / 1e9:.2f} GB, {told['parts']}", flush=True)
    return {**told, "peak": peak / 1e9}


def _held(pid: int) -> int:
    """Bytes that a process and its children hold now."""
    try:
        own = psutil.Process(pid)
        return sum(_resident(process) for process in (own, *own.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _project(root: Path, rows: int | None, cores: int) -> None:
    (root / "features").mkdir(parents=True, exist_ok=True)
    (root / "features" / "__init__.py").touch()
    (root / "features" / "spend.py").write_text(VIEW)
    engine = f"workers = {cores}\n" + (f"rows = {rows}\n" if rows else "")
    text = """
        [project]
        name = "payments"
        [tool.mlops.sources.payments]
        path = "payments.parquet"
        [tool.mlops.engine]
    """
    (root / "pyproject.toml").write_text(textwrap.dedent(text) + engine)


def _compute(root: Path, source: Path) -> None:
    """What the other process does: the step, timed, and a digest of what it wrote."""
    import duckdb

    from mlops.steps.build_features import build_features
    from mlops.stores import history
    from mlops.verdict import Record
    from mlops.workspace import open_workspace

    workspace = open_workspace(root)
    snapshot = Record(step="snapshot", subject="payments", outputs={"data": workspace.objects.put_file(source)})
    view = workspace.catalog.views["spend_v1"]
    began = time.perf_counter()
    record = build_features(workspace, view=view, snapshot=snapshot)
    seconds = time.perf_counter() - began
    files = [str(file) for file in history.parts(workspace.objects, record.outputs["features"])]
    # Sums that begin elsewhere end a last bit apart, and a rounded half may fall to the other side.
    query = """
        SELECT CAST(bit_xor(hash(customer, "at", count_7d, count_30d)) AS VARCHAR), sum(mean_7d) + sum(mean_30d)
        FROM read_parquet(?)
    """
    digest, total = duckdb.connect().execute(query, [files]).fetchone()
    parts = record.facts["parts"]
    print(json.dumps({"seconds": seconds, "digest": digest, "sum": total, "parts": parts}))


if __name__ == "__main__":
    _compute(Path(sys.argv[1]), Path(sys.argv[2]))
