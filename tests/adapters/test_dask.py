"""A cluster instead of processes: the same results, and errors that name the next step."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from pandas.testing import assert_frame_equal

from mlops.adapters import dask
from mlops.errors import GateFailed, OutsideError, UsageError
from tests.parts.payments import VIEWS, payments, project, whole

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers, each a process of its own, on loopback."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, processes=True
    ) as started:
        yield started.scheduler_address


def settings(address: str) -> str:
    return f'rows = 400\nkind = "dask"\naddress = "{address}"'


def test_parts_computed_on_a_cluster_are_those_of_one_process(cluster, tmp_path):
    alone = project(tmp_path / "alone").build("windowed_v1", payments())
    shop = project(tmp_path / "shop", settings=settings(cluster))
    record = shop.build("windowed_v1", payments())
    assert record.outputs == alone.outputs
    assert len({call["pid"] for call in shop.computing(record)}) == 2
    workspace = shop.workspace()
    assert_frame_equal(shop.features(record), whole(workspace.catalog.views["windowed_v1"], payments(), workspace))


def test_a_worker_that_lives_longer_than_an_edit_computes_with_the_new_code(cluster, tmp_path):
    shop = project(tmp_path / "shop", settings=settings(cluster))
    before = shop.build("windowed_v1", payments())
    file = shop.root / "features/spend.py"
    file.write_text(file.read_text().replace("rolled.sum()", "rolled.max()"))
    after = shop.build("windowed_v1", payments())
    assert shop.features(after)["total"].max() < shop.features(before)["total"].max()
    workspace = shop.workspace()
    assert_frame_equal(shop.features(after), whole(workspace.catalog.views["windowed_v1"], payments(), workspace))


def test_an_error_of_the_users_on_a_worker_names_the_line(cluster, tmp_path):
    raising = """
    if payments["customer"].nunique() <= 10:  # fewer than in the sample and its halves: a bucket
        payments["nope"]
    return spend(payments, 7)
"""
    broken = VIEWS.replace("    return spend(payments, 7)\n", raising, 1)
    shop = project(tmp_path / "shop", settings=settings(cluster), views=broken)
    with pytest.raises(GateFailed, match=r"features/spend.py:\d+: windowed_v1 raised KeyError: 'nope'"):
        shop.build("windowed_v1", payments())


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setattr(dask, "_SECONDS", 1)
    with pytest.raises(OutsideError, match=r"no Dask scheduler answers at tcp://127.0.0.1:1"):
        list(dask.each(len, ["a"], address="tcp://127.0.0.1:1"))


def test_a_cluster_without_workers_is_told(monkeypatch):
    monkeypatch.setattr(dask, "_SECONDS", 2)
    with (
        distributed.LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as empty,
        pytest.raises(OutsideError, match="has no worker"),
    ):
        list(dask.each(len, ["a"], address=empty.scheduler_address))


def test_without_an_address_nothing_is_computed(tmp_path):
    with pytest.raises(UsageError, match="needs an address"):
        project(tmp_path / "shop", settings='rows = 400\nkind = "dask"').build("windowed_v1", payments())


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match="needs the extra dask") as caught:
        list(dask.each(len, ["a"], address="tcp://127.0.0.1:1"))
    assert caught.value.next_step == "pip install 'mlops[dask]'"
