"""Writers that are killed by the hundred, many processes on one store, a disk that is full at every writer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.adapters.index import Index
from mlops.adapters.objects import ObjectStore
from mlops.serving.integrity import verify
from mlops.serving.pointer import read_pointer
from mlops.targets import chosen, history
from tests import small
from tests.killed import Host

POINTERS = """
import os, random, signal, sys, time
from pathlib import Path
from mlops.serving.pointer import Pointer, read_pointer, write_pointer

folder, kills, moments = Path(sys.argv[1]), int(sys.argv[2]), random.Random(3)
def pointer(n):
    return Pointer(live=f"fraud_v1-{n}", generation=n, older=tuple(f"fraud_v1-{n}-{k}" for k in range(400)))
began = time.monotonic()
for _ in range(20):
    write_pointer(folder, pointer(0))
once = (time.monotonic() - began) / 20  # on this machine, now
seen = set()
for kill in range(kills):
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(begun, b"x")
        n = kill * 1000
        while True:
            n += 1
            write_pointer(folder, pointer(n))
    os.read(ready, 1)
    os.close(ready)
    os.close(begun)
    time.sleep(moments.uniform(0, 3 * once))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = read_pointer(folder)  # raises on a torn one
    assert found == pointer(found.generation), found.generation
    seen.add(found.generation)
print(len(seen))
"""

RUNS = """
import sys
from pathlib import Path
from mlops.adapters.index import Index
from mlops.adapters.objects import ObjectStore
from mlops.execution import Executor, Task
from mlops.release import Event
from mlops.targets import history
from mlops.verdict import Record

root, me = Path(sys.argv[1]), int(sys.argv[2])
index, objects = Index(root / "index.db", fork=""), ObjectStore(root / "store")
class Quiet:
    def started(self, name): ...
    def progress(self, name, text): ...
    def finished(self, record): ...
    def warm(self): ...
    def record(self, record): ...
def task(step, subject):
    def made(_):
        return Record(step=step, subject=subject, outputs={"data": objects.put(f"{step} {subject} ".encode() * 500)})
    return Task(step=step, subject=subject, run=made, ingredients=lambda _: {"of": subject})
for run in range(50):
    # the first is everybody's, the second this process's own
    both = [task("shared", str(run)), task("own", f"{me}.{run}")]
    ended = Executor(index, objects, Quiet(), Quiet()).run(both, workers=2)
    assert len(ended.records) == 2 and not ended.errors, ended.errors
    event = Event(at=f"{run}", action="deploy", environment="staging", family="fraud", to=f"{me}.{run}", previous="",
                  who="", reason="", outcome="done", seconds=0.0)
    history.append(root / "events", event)
index.close()
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


def test_a_thousand_kills_of_the_pointers_writer_tear_none(tmp_path):
    """Promise 13."""
    done = subprocess.run(
        [sys.executable, "-c", POINTERS, str(tmp_path), "1000"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100, "the writer must have come far enough to be killed while it writes"


def test_eight_processes_with_fifty_runs_each_lose_nothing_and_double_nothing(tmp_path):
    """Promise 13."""
    running = [
        subprocess.Popen([sys.executable, "-c", RUNS, str(tmp_path), str(me)], stderr=subprocess.PIPE, text=True)
        for me in range(8)
    ]
    for process in running:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    index, objects = Index(tmp_path / "index.db", fork=""), ObjectStore(tmp_path / "store")
    records = index.records()
    index.close()
    names = sorted(record.name for record in records)
    expected = [f"shared:{run}" for run in range(50)] + [f"own:{me}.{run}" for me in range(8) for run in range(50)]
    assert names == sorted(expected)
    for record in records:
        assert objects.get(record.outputs["data"]) == f"{record.step} {record.subject} ".encode() * 500
    assert sorted(event.to for event in history.read(tmp_path / "events")) == sorted(
        e[4:] for e in expected if e[0] == "o"
    )
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.fixture
def full(released, tmp_path) -> Iterator[Path]:
    """The released project with its state on a small disk of its own, and another model to be made."""
    root = tmp_path / "shop"
    shutil.copytree(released[0], root, ignore=shutil.ignore_patterns(".mlops"))
    home = root / ".mlops"
    home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(home)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        shutil.copytree(released[0] / ".mlops", home, dirs_exist_ok=True)
        small.edit(root / "models" / "churn.py", "return fitted(X, y, 1.0)", "return fitted(X, y, 0.3)")
        yield root
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def fill(home: Path, left: int) -> Path:
    """A file that leaves so many bytes free."""
    ballast = home / "ballast"
    free = os.statvfs(home)
    size = max(0, free.f_bavail * free.f_frsize - left)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, size))
    return ballast


def test_a_disk_that_is_full_at_any_writer_ends_with_4_and_the_old_release_serves(full, released, host, tmp_path):
    """Promise 14: from no byte free to nearly enough, each run stops at another writer."""
    (old,) = released[1].report.releases
    home, stopped = full / ".mlops", []
    for left in (0, 4, 24, 48, 80, 128, 256, 512, 1024, 2048, 3072):
        ballast = fill(home, left * 1024)
        code = host.run(full, said=tmp_path / "said.txt")
        said = (tmp_path / "said.txt").read_text()
        assert "Traceback" not in said, f"{left} kB left: {said}"
        pointer = read_pointer(home / "environments" / "staging" / "churn")
        verify(home / "releases" / pointer.live)
        if code == 0:
            break
        assert code == 4, f"{left} kB left: exit {code}, {said}"
        assert pointer.live == old
        assert "space" in said or "full" in said, said
        stopped.append(said)
        assert list(home.rglob(".*.tmp")) == [], f"{left} kB left"
        ballast.unlink()
    (home / "ballast").unlink(missing_ok=True)
    assert len(stopped) >= 4, stopped
    assert host.run(full) == 0
    workspace = small.opened(full)
    assert read_pointer(home / "environments" / "staging" / "churn").live != old
    for release in chosen.releases(workspace.releases):
        verify(workspace.releases / release)


def test_a_clock_that_goes_back_between_two_runs_changes_nothing_that_is_decided(shop, host, released):
    """What is live, what is computed again, and the order of what happened do not hang on it."""
    (old,) = released[1].report.releases
    small.edit(shop / "models" / "churn.py", "return fitted(X, y, 1.0)", "return fitted(X, y, 0.3)")
    assert host.run(shop, clock=-86_400.0) == 0
    target = chosen.target(small.opened(shop), "staging")
    new = target.standing("churn").live
    assert new != old
    assert [event.to for event in target.history("churn")] == [old, new]
    assert target.retained("churn") == (new, old)
    assert target.standing("churn").previous == old
    assert small.go(shop).computed == []
