"""Segments: what was written whole is there once, whoever dies when."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from pyarrow import parquet

from mlops.adapters.segments import OpenSegment, begun, named, prune, prune_left, recover, rows_of
from mlops.errors import OutsideError

SCHEMA = pa.schema([("x", pa.int64()), ("text", pa.string())])
NAME = named(datetime(2026, 5, 4, 3, 2, 1, 7, UTC), "abc", "fraud_v1-12")


def batch(*values):
    return pa.RecordBatch.from_pydict({"x": list(values), "text": [str(v) for v in values]}, schema=SCHEMA)


def closed(folder):
    return [value for path in sorted(folder.glob("*.parquet")) for value in parquet.read_table(path)["x"].to_pylist()]


def test_a_closed_segment_is_a_parquet_file_and_nothing_else_stays(tmp_path):
    segment = OpenSegment(tmp_path, NAME, SCHEMA)
    segment.append(batch(1, 2))
    segment.append(batch(3))
    assert rows_of(tmp_path / f"{NAME}.arrow")["x"].to_pylist() == [1, 2, 3]
    segment.close()
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.parquet"]
    assert closed(tmp_path) == [1, 2, 3]
    assert begun(NAME) == datetime(2026, 5, 4, 3, 2, 1, 7, UTC)


def test_a_segment_that_is_written_is_left_alone(tmp_path):
    segment = OpenSegment(tmp_path, NAME, SCHEMA)
    segment.append(batch(1))
    assert recover(tmp_path) == 0
    segment.append(batch(2))
    segment.close()
    assert closed(tmp_path) == [1, 2]


WRITER = """
import sys, pathlib, pyarrow as pa
from mlops.adapters.segments import OpenSegment
schema = pa.schema([("x", pa.int64()), ("text", pa.string())])
segment = OpenSegment(pathlib.Path(sys.argv[1]), sys.argv[2], schema)
for n in range(1_000_000):
    segment.append(pa.RecordBatch.from_pydict({"x": [n], "text": [str(n) * 50]}, schema=schema))
    print(n, flush=True)
"""


def test_what_a_killed_writer_had_written_is_recovered_once(tmp_path):
    for round_ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), f"{NAME}{round_}"], stdout=subprocess.PIPE, text=True
        )
        told = [int(writer.stdout.readline()) for _ in range(30 + round_)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().split("\n") if line.strip()]
        writer.wait()
        assert recover(tmp_path) == 1
        rows = parquet.read_table(tmp_path / f"{NAME}{round_}.parquet")["x"].to_pylist()
        assert rows[: len(told)] == told
        assert rows == list(range(len(rows))), "nothing is torn, nothing is there twice"
        assert len(rows) <= len(told) + 1
    assert recover(tmp_path) == 0
    assert not list(tmp_path.glob("*.arrow"))


@pytest.mark.parametrize("tail", [b"\xff\xff\xff\xff\x10", b"\0" * 64, b"\xff\xff\xff\xff" + b"\x7f" * 100, b"torn"])
def test_a_torn_tail_costs_the_tail_alone(tmp_path, tail):
    OpenSegment(tmp_path, NAME, SCHEMA).append(batch(1, 2))  # its lock goes with it
    path = tmp_path / f"{NAME}.arrow"
    with path.open("ab") as file:
        file.write(tail)
    assert rows_of(path)["x"].to_pylist() == [1, 2]


def test_every_cut_of_a_segment_gives_whole_batches(tmp_path):
    segment = OpenSegment(tmp_path, NAME, SCHEMA)
    sizes = [segment.size]
    for n in range(3):
        segment.append(batch(n))
        sizes.append(segment.size)
    data, cut = (tmp_path / f"{NAME}.arrow").read_bytes(), tmp_path / "cut"
    for length in range(0, len(data), 5):
        cut.write_bytes(data[:length])
        table = rows_of(cut)
        whole = sum(size <= length for size in sizes) - 1
        assert (table is None) if whole < 0 else table["x"].to_pylist() == list(range(whole))


def test_a_segment_that_was_closed_and_not_yet_removed_counts_once(tmp_path):
    segment = OpenSegment(tmp_path, NAME, SCHEMA)
    segment.append(batch(1))
    kept = (tmp_path / f"{NAME}.arrow").read_bytes()
    segment.close()
    (tmp_path / f"{NAME}.arrow").write_bytes(kept)  # killed between the two
    recover(tmp_path)
    assert closed(tmp_path) == [1]
    assert not (tmp_path / f"{NAME}.arrow").exists()


def test_a_full_disk_leaves_what_was_there_and_the_next_write_goes_on(tmp_path, monkeypatch):
    segment = OpenSegment(tmp_path, NAME, SCHEMA)
    segment.append(batch(1))
    write = os.write

    def full(handle, data):
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OutsideError, match="no space left"):
            segment.append(batch(2))
    segment.append(batch(3))
    segment.close()
    assert closed(tmp_path) == [1, 3]


def test_old_segments_are_removed_by_age(tmp_path):
    now = datetime.now(UTC)
    for days in (1, 40):
        segment = OpenSegment(tmp_path, named(now - timedelta(days=days), "abc", "m"), SCHEMA)
        segment.append(batch(days))
        segment.close()
    assert prune(tmp_path, now - timedelta(days=30)) == 1
    assert closed(tmp_path) == [1]


def test_what_writers_left_in_other_folders_is_removed_by_age_closed_or_not(tmp_path):
    now = datetime.now(UTC)
    for folder, days, closes in (("gone", 40, True), ("killed", 41, False), ("old", 42, True), ("old", 1, False)):
        segment = OpenSegment(tmp_path / folder, named(now - timedelta(days=days), "abc", "m"), SCHEMA)
        segment.append(batch(days))
        if closes:
            segment.close()
    assert prune_left(tmp_path, now - timedelta(days=30)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert [path.suffix for path in (tmp_path / "old").iterdir()] == [".arrow"]


def test_beginning_and_recovering_at_the_same_time_loses_nothing(tmp_path):
    ended = threading.Event()

    def recovering():
        while not ended.is_set():
            recover(tmp_path)

    others = [threading.Thread(target=recovering) for _ in range(2)]
    for other in others:
        other.start()
    try:
        for n in range(100):
            segment = OpenSegment(tmp_path, f"{NAME}{n}", SCHEMA)
            segment.append(batch(n))
            segment.close()
    finally:
        ended.set()
        for other in others:
            other.join()
    assert sorted(closed(tmp_path)) == list(range(100))
