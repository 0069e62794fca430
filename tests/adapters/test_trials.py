"""Trials side by side, by joblib's backends."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from mlops.adapters.trials import runner
from mlops.errors import OutsideError, UsageError


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def killed(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_processes_give_the_results_in_the_order_of_the_values():
    with runner("loky") as run:
        found = run(square, [3, 1, 2])
    assert [value for value, _ in found] == [9, 1, 4]
    assert os.getpid() not in {pid for _, pid in found} or os.cpu_count() == 1


def test_a_cluster_gives_the_results_in_the_order_of_the_values():
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, processes=True
        ) as cluster,
        runner("dask", cluster.scheduler_address) as run,
    ):
        found = run(square, [3, 1, 2])
    assert [value for value, _ in found] == [9, 1, 4]
    assert os.getpid() not in {pid for _, pid in found}


def test_dask_without_an_address_is_refused():
    with pytest.raises(UsageError, match="needs an address"), runner("dask"):
        pass


def test_ray_that_is_not_installed_is_refused_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="needs the extra ray") as caught, runner("ray"):
        pass
    assert caught.value.next_step == "pip install 'mlops[ray]'"


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core: joblib stays in this process")
def test_a_process_that_the_system_kills_is_told():
    with runner("loky") as run, pytest.raises(OutsideError, match="a process of the search was killed"):
        run(killed, [1, 2])


class Unreadable:
    """Goes out, and cannot be made again there."""

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return int, ("no number",)


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core: joblib stays in this process")
def test_a_process_that_cannot_read_its_part_was_not_killed():
    with runner("loky") as run, pytest.raises(OutsideError, match="its part: ValueError: invalid literal") as caught:
        run(str, [Unreadable(), Unreadable()])
    assert "memory" not in caught.value.next_step
