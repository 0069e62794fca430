"""Calls a function on many values on a Dask cluster, named by its scheduler's address."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from mlops.errors import OutsideError, UsageError

T = TypeVar("T")
R = TypeVar("R")

_SECONDS = 30
"""To reach the scheduler, and for it to have a worker."""


def each(function: Callable[[T], R], values: Sequence[T], *, address: str) -> Iterator[R]:
    """The results, in the order in which they come; what is not done when the caller stops is cancelled."""
    with client(address) as cluster:
        distributed = _distributed()
        futures = cluster.map(function, list(values), pure=False)
        try:
            for _, result in distributed.as_completed(futures, loop=cluster.loop, with_results=True):
                yield result
        except (distributed.KilledWorker, OSError) as error:
            raise OutsideError(
                f"the Dask cluster at {address} lost a worker: {error}",
                next_step="give its workers more memory, or lower rows in [tool.mlops.engine]; what is done is kept",
            ) from error
        finally:
            cluster.cancel(futures)


@contextmanager
def client(address: str) -> Iterator[Any]:
    """A client of the cluster, closed at the end; OutsideError where it does not answer or has no worker."""
    distributed = _distributed()
    try:
        opened = distributed.Client(address, timeout=_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise OutsideError(
            f"no Dask scheduler answers at {address}: {error}",
            next_step="start one with `dask scheduler`, or change address in [tool.mlops.engine]",
        ) from error
    try:
        _demand_workers(opened, address)
        yield opened
    finally:
        opened.close(timeout=_SECONDS)


def _demand_workers(opened: Any, address: str) -> None:
    try:
        opened.wait_for_workers(1, timeout=_SECONDS)
    except TimeoutError as error:
        raise OutsideError(
            f"the Dask scheduler at {address} has no worker", next_step=f"start one: `dask worker {address}`"
        ) from error


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise UsageError(
            f'[tool.mlops.engine] kind = "dask" needs the extra dask ({error})', next_step="pip install 'mlops[dask]'"
        ) from error
    return distributed
