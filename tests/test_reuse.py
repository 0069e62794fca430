"""Nothing is computed twice: not by two checkouts that share a store, not by two runs at once, not after a loss."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time

import pytest

from mlops.adapters import shared
from mlops.adapters.index import Entry, Index
from mlops.adapters.objects import ObjectStore
from mlops.adapters.shared import FilePlace, SharedStore
from mlops.errors import GateFailed, OutsideError
from mlops.execution import Executor, Task
from mlops.reuse import Reuse
from mlops.verdict import Record
from tests import small

MAKER = """
import pandas as pd

def customers():
    with open("asked", "a") as file:
        file.write("x")
    return pd.read_csv("customers.csv")
"""


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """What the runner of a pull request has computed: its checkout, the team's bucket, and how it ran."""
    folder = tmp_path_factory.mktemp("worked")
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        patched.setenv(shared.VARIABLE, (folder / "bucket").as_uri())
        root = small.churn(folder / "runner-1" / "shop")
        small.write(root, {"features/maker.py": MAKER})
        return root, folder / "bucket", small.go(root, until="register", environment=None)


@pytest.fixture
def team(worked, tmp_path, monkeypatch):
    """A copy of the team's bucket, which this test's runs use."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(shared.VARIABLE, (tmp_path / "bucket").as_uri())
    shutil.copytree(worked[1], tmp_path / "bucket")
    return tmp_path / "bucket"


@pytest.fixture
def second(worked, team, tmp_path):
    """The checkout of another machine."""
    return checkout(worked[0], tmp_path / "runner-2" / "merged" / "shop")


def checkout(root, place):
    shutil.copytree(root, place, ignore=shutil.ignore_patterns(".mlops", "__pycache__"))
    return place


# -- two checkouts ------------------------------------------------------------------------------------------------


def test_the_merge_reuses_what_the_pull_request_computed(worked, second):
    """Two machines, two checkouts at other places: the second computes nothing but what is its own, the deployment."""
    first = worked[2]
    assert {"train:churn_v1", "check-service:churn_v1"} <= set(first.computed)
    merged = small.go(second)
    assert not merged.errors, merged
    # A release is put in place on each machine; the same bytes have the same name.
    assert merged.computed == ["register:churn_v1", "deploy:churn_v1"]
    assert merged.report.releases == first.report.releases


def test_an_edit_recomputes_what_it_reaches_and_no_more(second):
    small.edit(second / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.9)")
    assert small.go(second, until="train", environment=None).computed == ["train:churn_v1"]


@pytest.mark.parametrize("harm", ["corrupt", "evicted", "torn record"])
def test_what_is_spoilt_at_the_team_s_store_is_computed_and_put_right(worked, second, team, tmp_path, harm):
    """Promise 16, for what a team shares."""
    record = worked[2].record("train:churn_v1")
    spoilt = next(team.rglob(f"{record.outputs['model']}/content"))
    if harm == "corrupt":
        spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"!")
    elif harm == "evicted":
        spoilt.unlink()
    else:
        file = next(team.rglob(f"{record.key}/record.json"))
        file.write_bytes(file.read_bytes()[:200])
    third = checkout(second, tmp_path / "runner-3")
    assert small.go(second, until="train", environment=None).computed == ["train:churn_v1"]
    assert small.go(third, until="train", environment=None).computed == []


def test_a_store_that_cannot_be_reached_costs_time_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(shared.VARIABLE, (tmp_path / "file").as_uri())
    ran = small.go(small.churn(tmp_path / "shop"), until="train", environment=None)
    assert not ran.errors, ran
    assert "the shared store" in ran.report.about["shared store"]


def test_a_fork_s_run_reads_the_team_s_store_and_writes_nothing(second, team, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in team.rglob("*")}
    monkeypatch.setattr("mlops.adapters.trust.fork", lambda: "ann/shop, pull request 7")
    small.edit(second / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.6)")
    assert small.go(second, until="train", environment=None).computed == ["train:churn_v1"]
    assert {path: path.stat().st_mtime_ns for path in team.rglob("*")} == before


def test_a_fork_s_entry_in_the_store_is_used_by_nobody_else(tmp_path):
    store, objects = SharedStore(FilePlace(str(tmp_path / "bucket"))), ObjectStore(tmp_path / "objects")
    store.keep(Entry(record=Record(step="train", subject="m", key="k"), fork="ann/shop"), objects)
    assert store.find("k") is None


# -- max_age ------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_fresh_for_max_age_from_when_it_was_taken_on_any_machine(second, tmp_path, monkeypatch):
    """A merge does not train anew because a minute has passed, at whatever minute the pull request was built."""
    old = 'path = "customers.csv"'
    small.edit(second / "pyproject.toml", old, 'function = "features.maker:customers"\nmax_age = "1h"')
    monkeypatch.chdir(second)
    # The same rows have the same digest: a snapshot that was taken anew assembles and trains nothing.
    assert small.go(second, until="train", environment=None).computed == ["snapshot:customers"]
    now = time.time()
    for later, expected in ((59 * 60, []), (61 * 60, ["snapshot:customers"])):
        other = checkout(second, tmp_path / f"after {later}")
        monkeypatch.chdir(other)
        monkeypatch.setattr("mlops.actions.snapshot.time", _Clock(now + later))
        assert small.go(other, until="train", environment=None).computed == expected


class _Clock:
    def __init__(self, now):
        self.now = now

    def time(self):
        return self.now


# -- on wish ------------------------------------------------------------------------------------------------------


def test_a_step_is_computed_again_on_wish_and_the_new_record_is_the_one_that_counts(shop):
    ran = small.go(shop, environment=None, until="train", anew=frozenset({"train"}))
    assert ran.computed == ["train:churn_v1"]
    assert small.go(shop, environment=None, until="train").computed == []
    assert (
        Index(shop / ".mlops" / "index.db").find(ran.record("train:churn_v1").key).started
        == ran.record("train:churn_v1").started
    )


def test_from_scratch_computes_every_step_but_no_deployment_of_what_is_live(shop):
    done = small.mlops(shop, "run", "--from-scratch")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("reused") == 0
    assert "was live already" in done.stderr


def test_a_misspelt_step_is_told(shop):
    done = small.mlops(shop, "run", "--no-reuse", "trian")
    assert done.returncode == 2
    assert "train" in done.stderr


# -- two runs at once ---------------------------------------------------------------------------------------------


class Nobody:
    def started(self, name): ...
    def progress(self, name, text): ...
    def finished(self, record): ...
    def warm(self): ...
    def record(self, record): ...


def test_two_runs_at_once_compute_a_key_once(tmp_path):
    index, objects = Index(tmp_path / "index.db"), ObjectStore(tmp_path / "store")
    computed, both, said = [], threading.Barrier(2), []

    class Watch(Nobody):
        def progress(self, name, text):
            said.append((name, text))

    def work(done):
        computed.append(threading.get_ident())
        time.sleep(0.3)
        return Record(step="train", subject="m", outputs={"model": objects.put(b"model")})

    def run():
        both.wait()
        task = Task(step="train", subject="m", run=work, ingredients=lambda done: {"a": 1})
        ran = Executor(index, objects, Nobody(), Watch()).run([task])
        assert [record.outputs["model"] for record in ran.records] == [objects.put(b"model")]

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(computed) == 1
    assert said == [("train:m", "waits: another run on this machine computes it")]
    assert list((tmp_path / "locks").iterdir()) == []


def test_two_machines_at_once_compute_a_key_once(tmp_path):
    """Each has a store of its own, and the team's: the second finds there what the first has put there."""
    computed, both, said = [], threading.Barrier(2), []

    class Watch(Nobody):
        def progress(self, name, text):
            said.append((name, text))

    def run(name):
        home = tmp_path / name
        index, objects = Index(home / "index.db"), ObjectStore(home / "store")

        def work(done):
            computed.append(name)
            time.sleep(0.5)
            return Record(step="train", subject="m", outputs={"model": objects.put(b"model")})

        reuse = Reuse(index, objects, shared=lambda: SharedStore(FilePlace(str(tmp_path / "bucket")), name))
        task = Task(step="train", subject="m", run=work, ingredients=lambda done: {"a": 1})
        both.wait()
        ran = Executor(index, objects, Nobody(), Watch(), reuse=reuse).run([task])
        assert reuse.close() == ()
        assert [objects.get(record.outputs["model"]) for record in ran.records] == [b"model"]

    threads = [threading.Thread(target=run, args=[name]) for name in ("laptop", "runner")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    (first,) = computed
    assert said == [("train:m", f"waits: {first} computes it")]
    assert list((tmp_path / "bucket").rglob("claims/*")) == []


@pytest.mark.parametrize("why", ["a fork's run", "a step that is wanted anew"])
def test_who_would_not_share_what_it_computes_or_not_use_what_others_do_waits_for_nobody(tmp_path, why):
    store = SharedStore(FilePlace(str(tmp_path / "bucket")), "another")
    assert store.claims.take("k" * 64, lambda: False)
    index = Index(tmp_path / "index.db", fork="ann/shop" if "fork" in why else "")
    anew = frozenset() if "fork" in why else frozenset({"train"})
    reuse = Reuse(index, ObjectStore(tmp_path / "store"), shared=lambda: store, anew=anew)
    with reuse.alone("k" * 64, "train", pytest.fail) as look:
        assert not look
    store.claims.close()


def test_a_step_that_fails_lets_go_of_its_key(tmp_path):
    index, objects = Index(tmp_path / "index.db"), ObjectStore(tmp_path / "store")

    def work(done):
        raise GateFailed("no", next_step="mend it")

    place = FilePlace(str(tmp_path / "bucket"))
    reuse = Reuse(index, objects, shared=lambda: SharedStore(place))
    task = Task(step="train", subject="m", run=work, ingredients=lambda done: {"a": 1})
    assert Executor(index, objects, Nobody(), Nobody(), reuse=reuse).run([task]).errors
    reuse.close()
    assert place.names("claims") == []


HOLDER = """
import sys, time
from pathlib import Path
from mlops.adapters.lock import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_of_a_key_dies_with_its_holder(tmp_path):
    """Promise 13: a dead holder's lock is free at once."""
    from mlops.adapters.lock import alone

    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "k.lock")], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    free = threading.Event()

    def take():
        with alone(tmp_path / "k.lock") as waited:
            assert waited
            free.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    assert not free.wait(0.2)
    holder.kill()
    holder.wait()
    assert free.wait(1.0)
    waiting.join()


def test_eight_holders_in_turn_are_never_two_at_once(tmp_path):
    """The file of a lock is removed by whoever held it; nobody may hold a file that is gone beside one that is new."""
    from mlops.adapters.lock import alone

    inside, most = 0, 0

    def hold():
        nonlocal inside, most
        for _ in range(40):
            with alone(tmp_path / "k.lock"):
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == 1


# -- losses on this machine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["flipped", "evicted"])
def test_a_spoilt_output_is_computed_anew_within_the_run_that_finds_it(shop, harm):
    """Promise 16: the run that reads it repairs it, and ends well."""
    before = Index(shop / ".mlops" / "index.db").latest("assemble", "churn_v1")
    digest = before.outputs["train"]
    file = shop / ".mlops" / "store" / digest[:2] / digest[2:]
    if harm == "flipped":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    else:
        file.unlink()
    small.edit(shop / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.8)")  # so that the table is read
    ran = small.go(shop, environment=None, until="train")
    assert not ran.errors, ran
    assert {"assemble:churn_v1", "train:churn_v1"} <= set(ran.computed)
    assert ran.record("assemble:churn_v1").outputs["train"] == digest


def test_what_fails_for_good_is_not_tried_for_ever(tmp_path):
    index, objects = Index(tmp_path / "index.db"), ObjectStore(tmp_path / "store")
    tried = []

    def work(done):
        tried.append(1)
        objects.path("0" * 64)

    ran = Executor(index, objects, Nobody(), Nobody(), reuse=Reuse(index, objects)).run(
        [Task(step="train", subject="m", run=work, ingredients=lambda done: {"a": 1})]
    )
    assert len(tried) == 2
    assert [type(error).__mro__[1] for error in ran.errors] == [OutsideError]


def test_the_address_of_the_store(monkeypatch, tmp_path):
    monkeypatch.delenv(shared.VARIABLE, raising=False)
    assert shared.opened("", "sqlite:///x.db", "shop") is None
    assert shared.opened(str(tmp_path / "a"), "", "shop").place.url == str(tmp_path / "a")
    monkeypatch.setenv(shared.VARIABLE, str(tmp_path / "b"))
    assert shared.opened(str(tmp_path / "a"), "", "shop").place.url == str(tmp_path / "b")
    monkeypatch.setenv(shared.VARIABLE, "")  # a variable of GitHub that is not set is empty
    assert shared.opened(str(tmp_path / "a"), "", "shop").place.url == str(tmp_path / "a")
    monkeypatch.setenv(shared.VARIABLE, "off")
    assert shared.opened(str(tmp_path / "a"), "http://127.0.0.1:1", "shop") is None
    assert list(tmp_path.iterdir()) == []
