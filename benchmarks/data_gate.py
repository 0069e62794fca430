"""PROMISES 28: the data gate's own part beside one histogram pass, and beside deepchecks, on a million rows and on ten.

Each side runs in a process of its own, on the same Parquet file, so that its peak of memory is its own. deepchecks
takes minutes and eleven gigabytes: it only runs with `MLOPS_BENCH_DEEPCHECKS=seconds`, and is stopped after so many;
what it took until then is a lower bound, which is enough for a ratio.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.ratio import Ratio
from mlops.adapters import deepchecks

ROOT = Path(__file__).parents[1]
MILLION = 1_000_000
NUMBERS, WORDS = 24, 4  # and a key and a time: thirty columns
ROUNDS = 3
MEMORY_GB = 4.0
BY_LITERATURE = (
    263.0  # seconds of deepchecks on this table on one machine (docs/decisions.md), where it is not run here
)


def measure() -> list[Ratio]:
    """The ratios of one million rows, of ten to one, and the peak of memory."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "million.parquet", Path(folder) / "ten.parquet"
        write(small, MILLION)
        write(large, 10 * MILLION)
        ours, pass_, seconds_large, peaks = [], [], [], []
        for _ in range(ROUNDS):  # in turn, so that what the machine does meanwhile hits all
            pass_.append(_run("histograms", small)[0])
            ours.append(_run("gate", small)[0])
            seconds, gigabytes = _run("gate", large)
            seconds_large.append(seconds)
            peaks.append(gigabytes)
        one, ten, peak = statistics.median(ours), statistics.median(seconds_large), max(peaks)
        return [
            Ratio("28", "data gate, 1 M x 30 / a histogram pass", one, statistics.median(pass_), 3.0),
            *_beside_deepchecks(one, small),
            Ratio("28", "data gate, 10 M x 30 / ten times 1 M", ten, 10 * one, 1.0),
            Ratio("28", "peak memory at 10 M x 30", peak, MEMORY_GB, 1.0, unit="GB"),
        ]


def write(path: Path, rows: int) -> None:
    """Orders of a shop: a key, a time, numbers of three kinds (with gaps in some), words of four sizes."""
    import duckdb

    def uniform(k: int) -> str:
        return f"(hash(i * 31 + {k}) % 1000003 + 1) / 1000004.0"

    numbers = [f"round(exp(3 + 2 * ({uniform(k)} + {uniform(k + 50)} - 1)), 2) AS amount_{k}" for k in range(8)]
    numbers += [f"(hash(i * 31 + {k}) % {3 + k * 7})::BIGINT AS count_{k}" for k in range(8, 16)]
    numbers += [f"CASE WHEN hash(i + {k}) % 10 = 0 THEN NULL ELSE {uniform(k)} END AS share_{k}" for k in range(16, 24)]
    words = [f"'w' || (hash(i * 17 + {k}) % {size}) AS word_{k}" for k, size in enumerate((4, 25, 300, 5_000))]
    every = ["i AS order_id", "TIMESTAMP '2024-01-01' + to_seconds(i * 7) AS placed", *numbers, *words]
    query = f"SELECT {', '.join(every)} FROM range({rows}) r(i)"
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = true")
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)")


def gate(path: Path) -> None:
    """Schema, the label, deepchecks' sample out of all rows, and value skew between two samples."""
    import duckdb  # noqa: F401  imports are not what is measured, on neither side
    import pandas as pd  # noqa: F401
    import scipy.special  # noqa: F401

    from mlops.adapters import aggregates, parquet
    from mlops.gates import data, questions, schema
    from mlops.statistics import drift

    written = schema.parse(json.loads(path.with_suffix(".json").read_text()))
    started = time.perf_counter()
    with aggregates.of_parquet(path, scratch=path.parent) as table:
        found = schema.judge(written, table, source="orders")
        label = data.judge_label(table.column("count_8"), label="count_8", model="m_v1")
        names = [name for name, kind in table.kinds.items() if kind != "time" and name != "count_8"]
        sample = table.by_content(names, questions.SAMPLE, wanted=list(table.kinds), filled="count_8")
    first, _ = parquet.sample([path], parquet.columns(path), drift.MOST_ROWS, seed=0)
    second, _ = parquet.sample([path], parquet.columns(path), drift.MOST_ROWS, seed=1)
    moved = drift.shifts({n: first[n] for n in names}, {n: second[n] for n in names}, seed=0)
    seconds = time.perf_counter() - started
    fired = [f.message for f in (*found, label) if f.fired] + [s.column for s in moved if s.found]
    if fired or not len(sample):
        raise RuntimeError(f"the honest table does not pass: {fired}")
    _say(seconds)


def histograms(path: Path) -> None:
    """One pass by numpy: every column read, numbers put into 50 bins, words and keys counted by value."""
    import numpy as np
    import pandas as pd
    from pyarrow import parquet

    parquet.read_table(path, columns=["placed"]).to_pandas()  # what is imported late
    started = time.perf_counter()
    frame = parquet.read_table(path).to_pandas()
    for name in frame:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values.dtype):
            numbers = values.to_numpy(dtype="float64")
            np.histogram(numbers[np.isfinite(numbers)], bins=50)
        elif values.dtype.kind == "M":
            np.histogram(values.astype("int64"), bins=50)
        else:
            values.value_counts()
    _say(time.perf_counter() - started)


def schema_of(path: Path) -> None:
    """Write beside the table what `mlops schema` infers from its first 200,000 rows."""
    import pandas as pd

    from mlops.statistics.schema_inference import infer

    path.with_suffix(".json").write_text(json.dumps(infer(pd.read_parquet(path).head(200_000), source="orders")))


def _beside_deepchecks(ours: float, table: Path) -> list[Ratio]:
    """deepchecks' two suites on the whole table, where that was asked for."""
    allowed = float(os.environ.get("MLOPS_BENCH_DEEPCHECKS", "0"))
    if not allowed:
        return []
    script = table.parent / "suites.py"
    header = deepchecks.SCRIPT.read_text().partition("\n# ///\n")[0] + "\n# ///\n\n"
    script.write_text(header + SUITES)
    command = [*deepchecks.command()[:-1], str(script), str(table)]
    started = time.perf_counter()
    # A group of its own: what `uv run` started is stopped with it.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        told, error = process.communicate(timeout=allowed)
        if process.returncode:
            raise RuntimeError(f"deepchecks ended with {process.returncode}:\n{error[-4000:]}")
        seconds, named = float(told.splitlines()[-1]), "data gate / deepchecks' two suites"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        seconds, named = time.perf_counter() - started, "data gate / deepchecks (stopped before its end)"
    return [Ratio("28", named, ours, seconds, 0.05)]


SUITES = """
import sys, time
import pandas as pd
from deepchecks.tabular import Dataset
from deepchecks.tabular.suites import data_integrity, train_test_validation

frame = pd.read_parquet(sys.argv[1])
words = [name for name in frame if name.startswith("word")]
def dataset(part):
    return Dataset(part, label="count_8", cat_features=words, index_name="order_id", datetime_name="placed")
half = len(frame) // 2
started = time.perf_counter()
data_integrity().run(dataset(frame))
train_test_validation().run(dataset(frame[:half]), dataset(frame[half:]))
print(time.perf_counter() - started)
"""


def _run(what: str, table: Path) -> tuple[float, float]:
    """Seconds of the work, without the imports, and the peak of the process's memory in GB."""
    if not table.with_suffix(".json").exists():
        _child("schema_of", table)
    told = json.loads(_child(what, table).splitlines()[-1])
    return told["seconds"], told["gigabytes"]


def _child(what: str, table: Path) -> str:
    code = f"import benchmarks.data_gate as b, pathlib; b.{what}(pathlib.Path({str(table)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{what} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


def _say(seconds: float) -> None:
    import resource

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "gigabytes": kilobytes / 1024**2}))
