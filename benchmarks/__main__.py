"""`python -m benchmarks [NAME]…` measures and prints a table; without NAME, everything."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "command_line",
    "data_gate",
    "features",
    "first_run",
    "growing",
    "ledger",
    "materialize",
    "no_op",
    "plan",
    "service",
    "switch",
)


def main() -> None:
    """Measure what was asked for; exit 1 when a goal is missed."""
    missed = 0
    for name in sys.argv[1:] or NAMES:
        if name not in NAMES:
            sys.exit(f"there is no benchmark {name!r}; there are: {', '.join(NAMES)}")
        for ratio in importlib.import_module(f"benchmarks.{name}").measure():
            print(ratio.line(), flush=True)
            missed += ratio.ratio > ratio.goal
    sys.exit(1 if missed else 0)


main()
