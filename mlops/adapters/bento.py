"""A bento built by BentoML in a process of its own, with nothing in it that differs from build to build.

BentoML changes the working directory, the import path and its own global state while it builds, and takes
more than a second to import: the process starts early, imports while others work, and waits for its plan.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from mlops.errors import ConfigError, OutsideError

BENTOFILE = "bentofile.yaml"
SERVICE = "mlops.serving.service:Service"

_SECONDS = 180.0
_LAST_LINES = 8
_EPOCH = "1980-01-01T00:00:00+00:00"
_CREATED = re.compile(r"^(?P<indent>\s*)creation_time: .*$", re.MULTILINE)
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


class Bentofile(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's `bentofile.yaml` says; keys of BentoML that are not named here are refused by name."""

    service: str = SERVICE
    description: str = ""
    labels: dict[str, str] = {}
    include: list[str] = []
    exclude: list[str] = []
    python: dict[str, Any] = {}
    docker: dict[str, Any] = {}
    envs: list[dict[str, Any]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to build: the folder with all sources, a name and version, and exact requirements."""

    context: Path
    name: str
    version: str
    bentofile: Bentofile
    requirements: Sequence[str]
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def read_bentofile(root: Path) -> Bentofile:
    """The project's `bentofile.yaml`; ConfigError where it is missing or says what we do not understand."""
    import yaml

    path = root / BENTOFILE
    if not path.is_file():
        raise ConfigError(
            f"there is no {BENTOFILE} in {root}", next_step=f'write one with the line: service: "{SERVICE}"'
        )
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        found = msgspec.convert(document, Bentofile)
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: {reason}", next_step="see docs.bentoml.com for the keys of a bentofile") from None
    unknown = sorted(set(document) - set(Bentofile.__struct_fields__))
    if unknown:
        known = ", ".join(Bentofile.__struct_fields__)
        raise ConfigError(f"{path}: the key {unknown[0]!r} is not supported", next_step=f"the keys are: {known}")
    return found


def locked(names: Iterable[str]) -> tuple[str, ...]:
    """The installed versions of these packages and of all that they need here, as `name==version`, sorted."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    waiting = [(name, "") for name in names]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (canonicalize_name(name), extra) in seen:
            continue
        seen.add((canonicalize_name(name), extra))
        try:
            facts = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue  # an optional part that is not installed here is not needed here
        found[canonicalize_name(name)] = facts["Version"]
        for line in facts.get_all("Requires-Dist") or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                waiting += [(need.name, ""), *((need.name, more) for more in need.extras)]
    return tuple(f"{name}=={version}" for name, version in sorted(found.items()))


class Builder:
    """A process that has imported BentoML and waits to build one bento; a context manager."""

    def __init__(self, home: Path, service: str = SERVICE) -> None:
        self._home = home
        self._service = service
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start importing."""
        self._home.mkdir(parents=True, exist_ok=True)
        variables = {
            **os.environ,
            "BENTOML_HOME": str(self._home),
            "BENTOML_DO_NOT_TRACK": "True",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
        }
        # -P: the working directory must not lend its modules to the build
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlops.adapters.bento", self._service],
            env=variables,
            cwd=self._home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def build(self, plan: Plan) -> Path:
        """The folder of the bento, whole and the same for the same plan; OutsideError in BentoML's words."""
        if self._process is None:
            raise RuntimeError("the builder has not been entered")
        try:
            said, _ = self._process.communicate(json.dumps(_options(plan)), timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise OutsideError(
                f"BentoML has not built {plan.name} within {_SECONDS:g} seconds", next_step="run again when less runs"
            ) from None
        if self._process.returncode != 0:
            last = " | ".join(line.strip() for line in said.splitlines()[-_LAST_LINES:] if line.strip())
            raise OutsideError(
                f"BentoML could not build {plan.name}: {last}", next_step=f"look at {BENTOFILE}, then run again"
            )
        folder = self._home / "bentos" / plan.name / plan.version
        _without_time(folder)
        return folder


def _options(plan: Plan) -> dict[str, Any]:
    given = plan.bentofile
    python = {**given.python, "lock_packages": False}
    wanted = {_name(line): line for line in [*plan.requirements, *python.get("packages", [])]}
    wanted.pop("bentoml", None)  # BentoML adds itself, in its own version
    return {
        "service": given.service,
        "name": plan.name,
        "version": plan.version,
        "build_ctx": str(plan.context),
        "description": given.description or plan.description or None,
        "labels": {**given.labels, **plan.labels},
        "include": ["**"],
        "exclude": given.exclude,
        "python": {**python, "packages": [wanted[name] for name in sorted(wanted)]},
        "docker": given.docker or None,
        "envs": given.envs,
    }


def _name(requirement: str) -> str:
    match = _NAME.match(requirement)
    return match[0].lower().replace("_", "-") if match else requirement


def _without_time(folder: Path) -> None:
    """Give the bento a fixed time of creation, so that equal content is an equal folder."""
    path = folder / "bento.yaml"
    path.write_text(
        _CREATED.sub(rf"\g<indent>creation_time: '{_EPOCH}'", path.read_text(encoding="utf-8")), encoding="utf-8"
    )


def _main(service: str) -> None:
    from bentoml import bentos

    with contextlib.suppress(ImportError):  # a service of the project's own is found when the plan comes
        importlib.import_module(service.partition(":")[0])
    bentos.build(**json.loads(sys.stdin.read()))


if __name__ == "__main__":
    _main(sys.argv[1])
