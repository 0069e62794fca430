"""The one exit point: errors become a sentence with a next step, and an exit code."""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import NoReturn, cast

import click

from mlops.cli import in_actions
from mlops.cli.group import mlops
from mlops.errors import INTERRUPTED, MlopsError, UsageError


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with the exit code of DESIGN.md section 5."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Threads that spin while they wait for each other take the cores from the steps beside them: boosting took three
    # times as long. Read once, when scikit-learn is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # An optional part of urllib3 that a library of ours looks for and does without.
    warnings.filterwarnings("ignore", message="SOCKS support in urllib3")
    with in_actions.guarded(as_json="--json" in arguments):
        code = _code(arguments)
    sys.exit(code or 0)


def _code(arguments: list[str]) -> int | None:
    """Run the command line; gives the exit code."""
    try:
        return cast("int | None", mlops.main(arguments, prog_name="mlops", standalone_mode=False))
    except click.exceptions.Exit as wanted:
        return wanted.exit_code
    except click.ClickException as error:
        asked = UsageError(error.format_message(), next_step=_help_for(error))
        if "--json" in arguments:
            show(asked, as_json=True)
        else:
            error.show()
        in_actions.tell_error(asked)
        return UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; what was computed before is kept, run again to go on", err=True)
        _leave_now(INTERRUPTED)
    except MlopsError as error:
        show(error, as_json="--json" in arguments)
        in_actions.tell_error(error)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def show(error: MlopsError, *, as_json: bool) -> None:
    """Print an error for a person on stderr, or for a machine on stdout."""
    if as_json:
        kind = type(error).__name__
        whole = {"error": error.message, "next": error.next_step, "kind": kind, "exit_code": error.exit_code}
        click.echo(json.dumps(whole, indent=2))
        return
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(f"{error.message}\n  next: {error.next_step}", err=True)


def _help_for(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"read `{context.command_path if context else 'mlops'} --help`"


def _leave_now(code: int) -> NoReturn:
    # Steps may still compute on their threads; waiting for them is not what Ctrl-C asks for.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
