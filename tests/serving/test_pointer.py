from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlops.errors import OutsideError
from mlops.serving.pointer import (
    Ack,
    Pointer,
    being_a_worker,
    forget_dead_workers,
    read_acks,
    read_pointer,
    write_ack,
    write_pointer,
)

DEAD = """
import os, signal, sys
from pathlib import Path
from mlops.serving.pointer import Ack, being_a_worker, write_ack
with being_a_worker(Path(sys.argv[1])):
    write_ack(Path(sys.argv[1]), Ack(pid=os.getpid(), generation=1, serving="a", ok=True))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_pointer_is_read_as_it_was_written(tmp_path):
    assert read_pointer(tmp_path) is None
    pointer = Pointer(live="b", previous="a", generation=7, older=("x",))
    write_pointer(tmp_path, pointer)
    assert read_pointer(tmp_path) == pointer
    assert [p.name for p in tmp_path.iterdir()] == ["pointer.json"]


def test_an_unreadable_pointer_is_an_error_with_a_next_step(tmp_path):
    (tmp_path / "pointer.json").write_text("{")
    with pytest.raises(OutsideError, match="cannot be read"):
        read_pointer(tmp_path)


def test_a_living_worker_is_heard(tmp_path):
    ack = Ack(pid=os.getpid(), generation=1, serving="a", ok=True)
    with being_a_worker(tmp_path):
        assert read_acks(tmp_path) == ()
        write_ack(tmp_path, ack)
        assert read_acks(tmp_path) == (ack,)
    assert read_acks(tmp_path) == ()


def test_a_killed_worker_is_not_heard_any_more(tmp_path):
    subprocess.run([sys.executable, "-c", DEAD, str(tmp_path)], check=False)
    assert list((tmp_path / "workers").glob("ack-*"))
    assert read_acks(tmp_path) == ()
    forget_dead_workers(tmp_path)
    assert list((tmp_path / "workers").iterdir()) == []
