"""The command line: read options, call one thing, print the report, choose the exit code."""

from mlops.cli.edge import main

__all__ = ["main"]
