"""The `mlops` group. Commands are imported when they are called, so `mlops --help` stays fast."""

from __future__ import annotations

import importlib

import click

from mlops.errors import nearest

SUMMARIES = {
    "run": "Take models from data to a deployed release.",
    "check-features": "Test the feature functions and their built-in properties.",
    "check-data": "Judge sources against their schemas and models' tables for integrity.",
    "train": "Fit a model on its training rows.",
    "check-model": "Judge a model on held-out rows and against the champion.",
    "package": "Build the bento of a model.",
    "check-service": "Boot the bento and judge its answers and its speed.",
    "sign": "Sign a release, so that an environment can demand it.",
    "deploy": "Make a release live in an environment.",
    "serve": "Serve what is live in an environment.",
    "predict": "Predict the rows of a file by a release.",
    "experiment": "Compare a challenger with the live release by what came of their answers.",
    "rollback": "Make the previous or a named release live again.",
    "drill": "Prove on a copy that an environment can be rolled back.",
    "override": 'Let a gate\'s "no" pass for a while, with a reason.',
    "monitor": "Judge what is live: its health, its inputs, and its answers once labels arrive.",
    "retrain": "Train anew on today's data for a reason, and propose or deploy what passes.",
    "status": "Show what is live where, since when and by whom.",
    "report": "Write what the last run found as a page.",
    "compare": "Show two releases or runs side by side.",
    "lineage": "Show what made a thing, and what it touched.",
    "reproduce": "Make a release again and compare it, digest by digest.",
    "gc": "Remove what no release needs and nobody used lately.",
    "state": "Carry what one machine has computed to another.",
    "plan": "Show what a change affects.",
    "explain": "Say why a step will run, or be reused.",
    "materialize": "Compute what is new of stored features, and publish it.",
    "features": "Work with the stored features.",
    "review": "List labels that are likely wrong, for people to correct.",
    "schema": "Infer or update the committed schema of a source.",
    "selftest": "Plant faults and demand that every gate fires.",
    "init": "Write a project around a table.",
    "doctor": "Check this machine and project, with a fix for each fault.",
    "completion": "Print the shell completion script.",
}
"""Every command with the first line of its help, in the order in which a newcomer meets them."""


class Commands(click.Group):
    """A group whose commands live in modules of their own, one each, of the same name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands, in the order of SUMMARIES."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of that name, imported now."""
        if cmd_name not in SUMMARIES:
            return None
        module = importlib.import_module(f"mlops.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that was meant, or an error with the nearest one."""
        if args and args[0] not in SUMMARIES and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}; {nearest(args[0], SUMMARIES)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="mlops", prog_name="mlops")
def mlops() -> None:
    """Every push gets a verdict, every accepted verdict becomes a running, reversible release.

    \b
    Start a project around a table:   mlops init churn --data churn.csv --label left
    Take it to staging:               cd churn && mlops run
    Serve it:                         mlops serve staging
    Go back:                          mlops rollback staging

    \b
    Exit codes: 0 passed, 1 a gate said no, 2 usage, 3 nothing to check, 4 the world outside failed,
    5 the deployment failed and the old release serves, 6 the rollback failed, 7 insufficient evidence.
    """
