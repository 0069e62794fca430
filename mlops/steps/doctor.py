"""`doctor`: what stands in the way of a run on this machine and in this project, each with its remedy."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from mlops.adapters import deepchecks, git, sources
from mlops.adapters.ledger_opening import tracking_uri
from mlops.config import Environment
from mlops.errors import MlopsError
from mlops.health import Health, Line
from mlops.pyproject import load
from mlops.reports.words import counted
from mlops.repository import of_files
from mlops.repository_settings import of_settings
from mlops.targets.servers import read_server
from mlops.workspace import Workspace

VERSION = 1

T = TypeVar("T")

_PYTHONS = ((3, 11), (3, 13))
_ROOM_WANTED, _ROOM_NEEDED = 5e9, 0.5e9  # bytes; deepchecks' environment and a few releases fit into the first
_SECONDS = 5.0


def doctor(root: Path) -> tuple[Line, ...]:
    """The health of this machine, then of the project in `root`; a look that breaks is a failed line, not an end."""
    lines = [line for look in _MACHINE for line in _looked(look, root)]
    try:
        workspace = Workspace(root.resolve(), load(root.resolve()))
    except MlopsError as error:
        return (*lines, Line(health="fail", what="project", found=error.message, fix=error.next_step))
    return (*lines, *(line for look in _PROJECT for line in _looked(look, workspace)))


def _looked(look: Callable[[T], Iterator[Line]], at: T) -> list[Line]:
    what = look.__name__.strip("_").replace("_", " ")
    try:
        return list(look(at))
    except MlopsError as error:
        return [Line(health="fail", what=what, found=error.message, fix=error.next_step)]
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return [Line(health="fail", what=what, found=f"could not look: {error}", fix="see the message")]


def _python(_: Path) -> Iterator[Line]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    fine = _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]
    low, high = (".".join(map(str, version)) for version in _PYTHONS)
    yield Line(health="ok" if fine else "fail", what="Python", found=found, fix="" if fine else f"use {low} to {high}")


def _packages(_: Path) -> Iterator[Line]:
    """Each dependency of ours that is missing or older than its floor."""
    from importlib import metadata

    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in metadata.requires("mlops") or []]
    wanted = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = 0
    for requirement in wanted:
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = "missing"
        if found == "missing" or not requirement.specifier.contains(found, prereleases=True):
            wrong += 1
            fix = f"pip install '{requirement.name}{requirement.specifier}'"
            yield Line(health="fail", what=requirement.name, found=f"{found}, wanted {requirement.specifier}", fix=fix)
    if not wrong:
        yield Line(health="ok", what="packages", found=f"{len(wanted)} within their bounds")


def _deepchecks(root: Path) -> Iterator[Line]:
    """Whether uv is there, and the environment that deepchecks runs in, without reaching for the network."""
    command = deepchecks.command()
    uv = command[0]
    version = subprocess.run([uv, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    yield Line(health="ok", what="uv", found=version.strip())
    python = command[command.index("--python") + 1]
    check = [uv, "sync", "--offline", "--check", "--python", python, "--script", command[-1]]
    ready = subprocess.run(check, cwd=root, capture_output=True, timeout=30, check=False).returncode == 0
    yield Line(
        health="ok" if ready else "warn",
        what="deepchecks",
        found="its environment is ready" if ready else "its environment is not made yet: the first run will make it",
        fix="" if ready else "python -m mlops.adapters.deepchecks",
    )


def _git(root: Path) -> Iterator[Line]:
    if shutil.which("git") is None:
        yield Line(health="warn", what="git", found="not installed", fix="install git: a release names its commit")
        return
    state = git.state(root)
    if not state.known:
        fix = "git init && git add . && git commit -m start"
        yield Line(health="warn", what="git", found="no commit here: releases will say `uncommitted`", fix=fix)
        return
    found = f"{state.commit[:12]} on {state.branch or 'no branch'}"
    if state.shallow:
        yield Line(health="warn", what="git", found=f"{found}, history is cut off", fix="git fetch --unshallow")
    elif state.dirty:
        yield Line(health="warn", what="git", found=f"{found}, with unsaved changes", fix="commit before a release")
    else:
        yield Line(health="ok", what="git", found=found)


def _disk(root: Path) -> Iterator[Line]:
    place = next(folder for folder in (root.resolve(), *root.resolve().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    health: Health = "ok" if free >= _ROOM_WANTED else "warn" if free >= _ROOM_NEEDED else "fail"
    fix = "" if health == "ok" else "free some space; `.mlops/scratch` may go when nothing runs"
    yield Line(health=health, what="disk", found=f"{free / 1e9:.1f} GB free at {place}", fix=fix)
    if not os.access(place, os.W_OK):
        yield Line(health="fail", what="disk", found=f"{place} is not writable", fix="check its owner and rights")


def _sources(workspace: Workspace) -> Iterator[Line]:
    """Whether each source is there, and its schema."""
    if not workspace.config.sources:
        yield Line(
            health="fail",
            what="sources",
            found="none",
            fix="add [tool.mlops.sources.NAME] with a path, a query or a function",
        )
    for name, source in workspace.config.sources.items():
        what = f"source {name}"
        try:
            sources.fingerprint(source, workspace.root)
        except MlopsError as error:
            yield Line(health="fail", what=what, found=error.message, fix=error.next_step)
            continue
        missing_url = source.query and not os.environ.get(source.url_env)
        schema = workspace.root / (source.schema or f"features/{name}.schema.yaml")
        if missing_url:
            found, fix = (
                f"{source.url_env} is not set",
                f"export {source.url_env}=dialect+driver://user:password@host/db",
            )
            yield Line(health="fail", what=what, found=found, fix=fix)
        elif not schema.exists():
            found = f"no schema at {schema.relative_to(workspace.root)}"
            yield Line(health="fail", what=what, found=found, fix=f"mlops schema {name} --update")
        else:
            yield Line(health="ok", what=what, found=str(source.path or source.function or "a query"))


def _models(workspace: Workspace) -> Iterator[Line]:
    """Whether the declarations load, and each model has its quality floor."""
    families = workspace.catalog.families()
    if not families:
        fix = "declare one with @model in models/; `mlops init` shows how"
        yield Line(health="fail", what="models", found="none declared", fix=fix)
    for family, versions in families.items():
        newest = versions[-1]
        floor = workspace.config.settings(family, newest.name).floor
        names = ", ".join(model.name for model in versions)
        if floor is None:
            fix = f"add floor to [tool.mlops.models.{family}]"
            yield Line(health="fail", what=f"model {family}", found=f"{names} without a quality floor", fix=fix)
        else:
            yield Line(health="ok", what=f"model {family}", found=f"{names}, floor {floor:g}")


def _tests(workspace: Workspace) -> Iterator[Line]:
    for place in workspace.config.tests_of("features"):
        files = list((workspace.root / place).rglob("test_*.py"))
        health: Health = "ok" if files else "fail" if workspace.catalog.views else "warn"
        found = f"{counted(len(files), 'test file')} in {place}" if files else f"no test_*.py in {place}"
        fix = "" if files else "write one that calls each feature function with a few rows"
        yield Line(health=health, what="tests", found=found, fix=fix)


def _ledger(workspace: Workspace) -> Iterator[Line]:
    """Whether MLflow answers where the runs are recorded; a password in the URL is not shown."""
    uri = tracking_uri(workspace.home)
    scheme, _, rest = uri.partition("://")
    shown = f"{scheme}://{rest.rpartition('@')[2]}"
    if not scheme.startswith("http"):
        yield Line(health="ok", what="ledger", found=shown)
        return
    import requests

    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=_SECONDS)
    except requests.RequestException as error:
        found, fix = (
            f"{shown} does not answer ({type(error).__name__})",
            "start the server, or check MLFLOW_TRACKING_URI",
        )
        yield Line(health="fail", what="ledger", found=found, fix=fix)
        return
    fine = answer.status_code < 500
    yield Line(
        health="ok" if fine else "fail",
        what="ledger",
        found=f"{shown} answers {answer.status_code}",
        fix="" if fine else "look into the server's log",
    )


def _ports(workspace: Workspace) -> Iterator[Line]:
    """Whether the port of each environment of this machine is free, or taken by our own server."""
    for name, environment in workspace.config.environments.items():
        if environment.target != "local":
            yield _elsewhere(workspace, name, environment)
            continue
        folder = workspace.environments / name
        servers = [read_server(family) for family in sorted(folder.glob("*")) if family.is_dir()]
        ours = any(server is not None and server.port == environment.port for server in servers)
        where = f"{environment.host}:{environment.port}"
        if ours:
            yield Line(health="ok", what=f"environment {name}", found=f"served at {where}")
        elif _free(environment.host, environment.port):
            yield Line(health="ok", what=f"environment {name}", found=f"{where} is free")
        else:
            fix = f"stop what listens there, or set port in [tool.mlops.environments.{name}]"
            yield Line(health="warn", what=f"environment {name}", found=f"{where} is taken by another program", fix=fix)


def _elsewhere(workspace: Workspace, name: str, environment: Environment) -> Line:
    """Whether the program is there by which an environment beyond this machine is moved."""
    words = ("kubectl",) if environment.target == "kubernetes" else environment.command.deploy
    found = shutil.which(words[0]) or shutil.which(str(workspace.root / words[0]))
    return Line(
        health="ok" if found else "warn",
        what=f"environment {name}",
        found=f"its target is {environment.target}, and {words[0]} is {'there' if found else 'not there'}",
        fix="" if found else f"install {words[0]} where you deploy from, or make it executable",
    )


def _workflows(workspace: Workspace) -> Iterator[Line]:
    """Whether the workflows' files are as our commands in them need it."""
    yield from of_files(workspace)


def _github_settings(workspace: Workspace) -> Iterator[Line]:
    """Whether GitHub's settings hold what the workflows read."""
    yield from of_settings(workspace)


def _free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


_MACHINE = (_python, _packages, _deepchecks, _git, _disk)


def _signing(workspace: Workspace) -> Iterator[Line]:
    """Whether signatures can be verified here, and whether releases are signed here; nothing where none are wanted."""
    settings = workspace.config.signing
    if settings.method == "none":
        return
    environments = workspace.config.environments.items()
    demanded = ", ".join(name for name, one in environments if one.require_signature) or "nobody"
    if find_spec("model_signing") is None:
        yield Line(
            health="fail",
            what="signing",
            found=f"model-signing is not installed; {demanded} demands signatures",
            fix="pip install 'mlops[signing]'",
        )
    elif settings.public_key and not (workspace.root / settings.public_key).is_file():
        yield Line(
            health="fail",
            what="signing",
            found=f"there is no {settings.public_key}, which verifies signatures",
            fix="commit the public key, or name its file in [tool.mlops.signing]",
        )
    else:
        with_key = "here too" if os.environ.get(settings.key_env) else f"where {settings.key_env} is set"
        how = with_key if settings.method == "key" else "where a job has an identity"
        yield Line(health="ok", what="signing", found=f"{demanded} demands signatures; releases are signed {how}")


_PROJECT = (_sources, _models, _tests, _ledger, _signing, _ports, _workflows, _github_settings)
