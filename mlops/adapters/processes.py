"""Calls a function on many values in processes of their own, so that Python's lock binds none of them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import TypeVar

from mlops.errors import OutsideError

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(function: Callable[[T], R], values: Sequence[T], *, workers: int) -> Iterator[R]:
    """The results, in the order in which they come; what was not begun when the caller stops is not done.

    Processes are started fresh (spawned), because a fork of a process with threads may hang. They end with the caller,
    however it ends. OutsideError where the system kills one.
    """
    # Two values for each worker are under way, so that none waits and little is done in vain when one fails.
    before = set(active_children())
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin)
    waiting, running = iter(values), set[Future[R]]()
    try:
        for value in _some(waiting, 2 * workers):
            running.add(pool.submit(function, value))
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                for value in _some(waiting, 1):
                    running.add(pool.submit(function, value))
                yield future.result()
    except BrokenProcessPool as error:
        raise OutsideError(
            f"one of {workers} processes was killed, most likely for want of memory",
            next_step="lower workers or rows in [tool.mlops.engine], or add memory; what is done is kept",
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        _end(set(active_children()) - before)


def _some(values: Iterator[T], count: int) -> list[T]:
    return [value for _, value in zip(range(count), values, strict=False)]


def _end(processes: Iterable[BaseProcess]) -> None:
    """End processes, busy or not: nobody wants their results any more."""
    own = list(processes)
    for process in own:
        process.terminate()
    for process in own:
        process.join(5)


def _begin() -> None:
    """In a new process: leave Ctrl-C to the parent, end with it, and keep its standard output for its report."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
