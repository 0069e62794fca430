"""What goes wrong outside becomes our error, which says what failed and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlops.adapters.files import no_space
from mlops.errors import MlopsError, OutsideError

_FULL = "database or disk is full"  # in SQLite's words, as others pass them on
_MOST = 200


@contextmanager
def outside(what: str, *, next_step: str = "run again") -> Iterator[None]:
    """Raise an OutsideError on `what`, such as "the ledger at URI", for whatever is raised in here.

    Our own errors pass. A disk that is full is told as such, by whatever it was noticed.
    """
    try:
        yield
    except MlopsError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:_MOST]
        if _FULL in reason or no_space(error):
            raise OutsideError(f"no space left for {what}", next_step="free some space, then run again") from error
        raise OutsideError(f"{what} failed: {type(error).__name__}: {reason}", next_step=next_step) from error
