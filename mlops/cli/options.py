"""Options that commands share, and how they open the project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from mlops.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])


def project(function: F) -> F:
    """Add `--project DIR`."""
    return click.option(
        "--project",
        "root",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(),
        help="The project's folder.  [default: here]",
    )(function)


def as_json(function: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(function)


def report_files(function: F) -> F:
    """Add `--report FILE`, as often as wanted."""
    return click.option(
        "--report",
        "files",
        multiple=True,
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the report too, as the suffix says: .html, .md, .json or .txt.",
    )(function)


def why(function: F) -> F:
    """Add `--reason TEXT`."""
    return click.option("--reason", default="", help="Why; kept in the history.")(function)


def allow_dirty(function: F) -> F:
    """Add `--allow-dirty`."""
    return click.option(
        "--allow-dirty", is_flag=True, help="Also what was made of unsaved changes, where that is refused."
    )(function)


def opened(root: Path, *, uses: bool = True) -> Workspace:
    """The project in `root`; with `uses` nothing of its store is collected until the command ends."""
    from mlops.workspace import open_workspace

    workspace = open_workspace(root)
    context = click.get_current_context(silent=True)
    if uses and context is not None:
        from mlops.using import using

        context.with_resource(using(workspace))
    return workspace


def complete_models(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of declared models, for the shell."""
    try:
        return [name for name in opened(Path()).catalog.models if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a shell completion must never print a traceback
        return []


def complete_views(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of feature views, for the shell."""
    try:
        return [name for name in opened(Path()).catalog.views if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a shell completion must never print a traceback
        return []


def complete_environments(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of environments, for the shell."""
    try:
        return [name for name in opened(Path()).config.environments if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - a shell completion must never print a traceback
        return []
