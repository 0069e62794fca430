"""Calls a user's training function: seeded, its warnings collected, its output kept away from ours."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_one_at_a_time = threading.Lock()
"""Seeds, warnings and standard output belong to the process: two fits at once would mix them up."""


def call(function: Callable[..., Any], *arguments: Any, seed: int) -> tuple[Any, tuple[str, ...]]:
    """What the function returns, and the texts of its convergence warnings; what it raises passes through.

    `random` and NumPy's global generator are seeded before; what the function prints goes to standard error.
    """
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning

    with _one_at_a_time, warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("always")
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - estimators without random_state draw from the global generator
        value = function(*arguments)
    return value, tuple(str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning))


def innermost(error: BaseException, root: Path) -> str:
    """`models/fraud.py:23`, the innermost place of the traceback in the project's own code; else ""."""
    ours = Path(__file__).parent.parent
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(root)
        and not Path(frame.filename).is_relative_to(ours)
        and "site-packages" not in frame.filename
    ]
    return place(own[-1].filename, own[-1].lineno or 0, root) if own else ""


def place(file: str, line: int, root: Path) -> str:
    """A file and line, relative to the project's root where the file is below it."""
    path = Path(file)
    return f"{path.relative_to(root) if path.is_relative_to(root) else path}:{line}"
