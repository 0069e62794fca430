"""`mlops completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mlops.cli.group import SUMMARIES, mlops


@click.command("completion", short_help=SUMMARIES["completion"])
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the shell completion script.

    \b
    Example:
      eval "$(mlops completion bash)"
    """
    made = get_completion_class(shell)
    if made is not None:
        click.echo(made(mlops, {}, "mlops", "_MLOPS_COMPLETE").source())
