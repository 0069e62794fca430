"""Calls a function on several values side by side, by joblib's backend: processes, Dask or Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from mlops.adapters import dask
from mlops.adapters.processes import cores
from mlops.errors import OutsideError, UsageError

T = TypeVar("T")
R = TypeVar("R")

Run = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""The results of a function for values, in their order."""


@contextmanager
def runner(backend: Literal["loky", "dask", "ray"], address: str = "") -> Iterator[Run]:
    """What runs values side by side while the block lasts.

    UsageError where the backend's extra is not installed; OutsideError where its cluster does not answer, or a worker
    is lost.
    """
    if backend == "dask":
        if not address:
            raise UsageError(
                '[tool.mlops.engine] tuning = "dask" needs an address', next_step='write address = "tcp://HOST:8786"'
            )
        with dask.client(address) as client, client.as_current():
            yield lambda function, values: _parallel("dask", function, values, jobs=-1)
    elif backend == "ray":
        with _ray(address):
            yield lambda function, values: _parallel("ray", function, values, jobs=-1)
    else:
        yield lambda function, values: _parallel("loky", function, values, jobs=min(len(values), cores()))


def _parallel(backend: str, function: Callable[[T], R], values: Sequence[T], *, jobs: int) -> list[R]:
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

    try:
        with joblib.parallel_config(backend=backend, n_jobs=jobs):
            found: list[R] = joblib.Parallel()(joblib.delayed(function)(value) for value in values)
    except TerminatedWorkerError as error:
        raise OutsideError(
            f"a process of the search was killed, most likely for want of memory ({type(error).__name__})",
            next_step="lower trials_at_once in [tool.mlops.engine], or add memory",
        ) from error
    except BrokenProcessPool as error:
        raise OutsideError(
            f"a process of the search could not take its part: {_reason(error)}",
            next_step="see whether it can be imported there: only modules below the project's folder can",
        ) from error
    return found


def _reason(error: BaseException) -> str:
    """What was raised in the other process, of whose traceback loky gives the text."""
    lines = [line for line in str(error.__cause__ or error).splitlines() if line.strip(' "')]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def _ray(address: str) -> Iterator[None]:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise UsageError(
            f'[tool.mlops.engine] tuning = "ray" needs the extra ray ({error})', next_step="pip install 'mlops[ray]'"
        ) from error
    try:
        ray.init(address=address or None, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise OutsideError(
            f"no Ray cluster answers at {address}: {error}", next_step="start one with `ray start --head`"
        ) from error
    register_ray()
    try:
        yield
    finally:
        ray.shutdown()
