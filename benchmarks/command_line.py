"""PROMISES 24: `mlops --help` beside a bare click program."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.ratio import Ratio, alternating, process

BARE = """
import click

@click.group()
def bare():
    "A bare click program."

@bare.command()
def one():
    "One command."

bare(["--help"])
"""


def measure() -> list[Ratio]:
    """The median of 20 starts each."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "bare.py"
        program.write_text(BARE)
        ours, bare = alternating(
            process([sys.executable, "-m", "mlops", "--help"]), process([sys.executable, str(program)]), rounds=20
        )
    return [Ratio("24", "mlops --help / a bare click program", ours, bare, 1.5)]
