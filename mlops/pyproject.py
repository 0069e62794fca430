"""Reads `[tool.mlops]` of a pyproject.toml.

An unknown key, a wrong type or a value out of range is an error that names the file, the line and,
for a misspelt key, the nearest right one.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlops.config import ENVIRONMENTS, Config
from mlops.errors import ConfigError, nearest


def load(root: Path) -> Config:
    """The configuration of the project in `root`; ConfigError names file, line, key and next step."""
    file = root / "pyproject.toml"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {file.name} in {root}",
            next_step="go to your project's folder, or start one with `mlops init DIR --data FILE --label COLUMN`",
        ) from None
    document = _toml(text, file)
    table = document.get("tool", {}).get("mlops")
    if table is None:
        raise ConfigError(f"{file} has no [tool.mlops] table", next_step="add one, or run `mlops init`")
    _refuse_unknown_keys(table, Config, ("tool", "mlops"), text=text, file=file)
    config = _convert(_with_ours(_inherited(table)), text, file)
    _one_origin_each(config, text, file)
    _whole_targets(config, text, file)
    _own_namespaces(config, text, file)
    _whole_signing(config, text, file)
    if config.name:
        return config
    return msgspec.structs.replace(config, name=document.get("project", {}).get("name", root.name))


def _inherited(table: dict[str, Any]) -> dict[str, Any]:
    """The table with each version's settings (`fraud_v2`) laid over its family's (`fraud`)."""
    models = table.get("models")
    if not isinstance(models, dict):
        return table
    plain = {name: settings for name, settings in models.items() if isinstance(settings, dict)}
    laid = {name: {**plain.get(name.rpartition("_v")[0], {}), **settings} for name, settings in plain.items()}
    return {**table, "models": {**models, **laid}}


def _with_ours(table: dict[str, Any]) -> dict[str, Any]:
    """The table with the environments that are always there; one of them keeps its port unless another is written."""
    written = table.get("environments", {})
    if not isinstance(written, dict) or not all(isinstance(one, dict) for one in written.values()):
        return table  # the error names it
    ours = {name: {"port": one.port} for name, one in ENVIRONMENTS.items()}
    laid = {name: {**ours.get(name, {}), **settings} for name, settings in written.items()}
    return {**table, "environments": {**ours, **laid}}


def line_of(text: str, path: tuple[str, ...]) -> int:
    """The line (from 1) on which the key of a TOML document stands, or its nearest table's.

    A table header sets the prefix; a key counts when prefix and key together spell `path`.
    """
    best: tuple[int, int] = (1, 0)
    prefix: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?([^\]]+)\]\]?", line)
        if header:
            prefix = _dotted(header[1])
            here = prefix
        else:
            key = re.match(r"\s*([A-Za-z0-9_\-.\"' ]+?)\s*=", line)
            here = prefix + _dotted(key[1]) if key else ()
        common = len(here) if here and here == path[: len(here)] else 0
        if common > best[1]:
            best = (number, common)
    return best[0]


def _dotted(key: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in key.split("."))


def _toml(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}", next_step="mend that line") from None


def _refuse_unknown_keys(value: Any, struct: type[Struct], path: tuple[str, ...], *, text: str, file: Path) -> None:
    if not isinstance(value, dict):
        return
    fields = {f.name: f.type for f in msgspec.structs.fields(struct)}
    for key, inner in value.items():
        here = (*path, key)
        if key not in fields:
            raise ConfigError(
                f"{file}:{line_of(text, here)}: unknown key {key!r} in [{'.'.join(path)}]",
                next_step=nearest(key, fields),
            )
        nested, many = _nested(fields[key])
        if nested is not None:
            entries = inner.items() if many and isinstance(inner, dict) else [(None, inner)]
            for name, entry in entries:
                deeper = here if name is None else (*here, name)
                _refuse_unknown_keys(entry, nested, deeper, text=text, file=file)


def _nested(annotation: Any) -> tuple[type[Struct] | None, bool]:
    inner = msgspec.inspect.type_info(annotation)
    if isinstance(inner, msgspec.inspect.UnionType):  # of a table and a short form
        inner = next((one for one in inner.types if isinstance(one, msgspec.inspect.StructType)), inner)
    if isinstance(inner, msgspec.inspect.StructType):
        return inner.cls, False
    if isinstance(inner, msgspec.inspect.DictType) and isinstance(inner.value_type, msgspec.inspect.StructType):
        return inner.value_type.cls, True
    return None, False


def _convert(table: dict[str, Any], text: str, file: Path) -> Config:
    # One top-level key at a time, and one entry of a table of tables at a time: so an error has a line.
    for key, value in table.items():
        entries = (
            value.items() if key in ("sources", "models", "environments") and isinstance(value, dict) else [("", value)]
        )
        for name, entry in entries:
            piece = {key: {name: entry}} if name else {key: entry}
            try:
                msgspec.convert(piece, Config)
            except msgspec.ValidationError as error:
                reason, _, where = str(error).partition(" - at ")
                inner = tuple(re.findall(r"\.([A-Za-z0-9_]+)", where))
                path = ("tool", "mlops", key, *((name,) if name else ()), *inner[1:])
                raise ConfigError(
                    f"{file}:{line_of(text, path)}: {'.'.join(path)}: {reason}",
                    next_step="change the value; `mlops doctor` shows every setting with its meaning",
                ) from None
    return msgspec.convert(table, Config)


def _one_origin_each(config: Config, text: str, file: Path) -> None:
    for name, source in config.sources.items():
        given = [kind for kind in ("path", "query", "function") if getattr(source, kind)]
        if len(given) != 1:
            line = line_of(text, ("tool", "mlops", "sources", name))
            found = " and ".join(given) or "none"
            raise ConfigError(
                f"{file}:{line}: source {name!r} must say one of path, query or function (found: {found})",
                next_step=f'write for example path = "data/{name}.csv"',
            )


def _whole_signing(config: Config, text: str, file: Path) -> None:
    """An environment that demands signatures needs to know whose; else any would do, or none could."""
    signing = config.signing
    lacking = {
        "none": 'method = "key", and public_key',
        "key": "" if signing.public_key else 'public_key = "release.pub"',
        "keyless": "" if signing.identity else "identity = the URL of the workflow that signs, at its branch",
    }[signing.method]
    for name, environment in config.environments.items():
        if environment.require_signature and lacking:
            line = line_of(text, ("tool", "mlops", "environments", name, "require_signature"))
            raise ConfigError(
                f"{file}:{line}: {name!r} demands signatures, and [tool.mlops.signing] does not say whose",
                next_step=f"write in [tool.mlops.signing]: {lacking}",
            )


def _own_namespaces(config: Config, text: str, file: Path) -> None:
    """Two environments in one namespace would take each other's requests: objects bear the model's name."""
    taken: dict[tuple[str, str], str] = {}
    for name, one in config.environments.items():
        if one.target != "kubernetes":
            continue
        where = (one.kubernetes.context, one.kubernetes.namespace or name)
        first = taken.setdefault(where, name)
        if first != name:
            line = line_of(text, ("tool", "mlops", "environments", name, "kubernetes", "namespace"))
            raise ConfigError(
                f"{file}:{line}: {name!r} has the namespace of {first!r}, {where[1]!r}: objects bear the model's name",
                next_step="give each environment a namespace of its own",
            )


def _whole_targets(config: Config, text: str, file: Path) -> None:
    examples = {
        "deploy": 'deploy = ["./ops/deploy.sh"]',
        "probe": 'probe = ["./ops/probe.sh"]',
        "rollback": 'rollback = ["./ops/rollback.sh"]',
        "image": 'image = "registry.example.com/team/{model}:{release}"',
        "token_secret": 'token_secret = "model-token"',
    }
    for name, one in config.environments.items():
        given: Struct = one.command if one.target == "command" else one.kubernetes
        demanded = {"command": ["deploy", "probe", "rollback"], "kubernetes": ["image"], "local": []}[one.target]
        demanded += ["token_secret"] if one.target == "kubernetes" and one.token_env else []
        lacking = [key for key in demanded if not getattr(given, key)]
        if lacking:
            line = line_of(text, ("tool", "mlops", "environments", name, one.target))
            raise ConfigError(
                f"{file}:{line}: the environment {name!r} has the target {one.target!r}, which needs {lacking[0]}",
                next_step=f"write for example in [tool.mlops.environments.{name}.{one.target}]: {examples[lacking[0]]}",
            )
