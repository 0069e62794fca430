"""Where the files of a source are: a file, a folder, a glob or any URL that fsspec knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlops.adapters.delimited_layout import COMPRESSED
from mlops.config import Source
from mlops.errors import ConfigError, NothingToDo, OutsideError, nearest

Form = Literal["csv", "parquet"]

_FORMS: dict[str, Form] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Located:
    """A file on this machine: `shown` is its name in messages, `name` its last part."""

    path: Path
    shown: str
    form: Form

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class Remote:
    """A file behind an fsspec URL."""

    system: Any  # fsspec.AbstractFileSystem; fsspec has no types
    place: str
    shown: str
    form: Form

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.place.rsplit("/", 1)[-1]

    def state(self) -> str:
        """What tells one content from another without fetching it: size, time, ETag, as the system has it."""
        with _reached(self.shown):
            return str(self.system.ukey(self.place))

    def fetch(self, folder: Path) -> Path:
        """A copy of the file in `folder`."""
        target = folder / self.name
        with _reached(self.shown):
            self.system.get_file(self.place, str(target))
        return target


def locate(source: Source, *, root: Path, name: str) -> list[Located | Remote]:
    """The files of a source, sorted by name; ConfigError names the nearest when there is none."""
    given = str(source.path)
    if "://" in given and not given.startswith("file://"):
        return list(_remote(given, source))
    plain = given.removeprefix("file://")
    path = Path(plain).expanduser() if Path(plain).expanduser().is_absolute() else root / plain
    if path.is_dir():
        return [
            _local(file, f"{given.rstrip('/')}/{file.relative_to(path).as_posix()}", source) for file in _tables(path)
        ]
    if path.is_file():
        return [_local(path, given, source)]
    if _MAGIC.search(plain):
        anchor = Path(path.anchor)
        found = sorted(file for file in anchor.glob(str(path.relative_to(anchor))) if file.is_file())
        if found:
            return [_local(file, _short(file, root), source) for file in found]
    raise _nothing_at(path, given, name)


def _local(path: Path, shown: str, source: Source) -> Located:
    return Located(path, shown, source.format or form_of(path.name))


def form_of(name: str) -> Form:
    """CSV or Parquet, by a file's name; text where the name does not say."""
    plain = name.lower()
    for ending in COMPRESSED:
        plain = plain.removesuffix(ending)
    return _FORMS.get(Path(plain).suffix, "csv")


def _tables(folder: Path) -> list[Path]:
    """The table files below a folder, sorted; hidden ones and `_SUCCESS` marks are not tables."""
    inside = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    known = [path for path in inside if _known(path.name)]
    if not known:
        raise NothingToDo(f"{folder} holds no CSV or Parquet file", next_step="check the export that fills it")
    forms = Counter(form_of(path.name) for path in known)
    if len(forms) > 1:
        raise ConfigError(
            f"{folder} holds {forms['csv']} CSV and {forms['parquet']} Parquet files",
            next_step=f'say which by a glob, such as path = "{folder.name}/*.parquet"',
        )
    return known


def _known(name: str) -> bool:
    plain = name.lower()
    for ending in COMPRESSED:
        plain = plain.removesuffix(ending)
    return Path(plain).suffix in _FORMS


def _short(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


def _nothing_at(path: Path, given: str, name: str) -> ConfigError:
    """What to say of a path with nothing there: the part that is missing, and the nearest name beside it."""
    missing = path
    while missing.parent != missing and not missing.parent.exists():
        missing = missing.parent
    beside = [p.name for p in missing.parent.iterdir() if not p.name.startswith(".")] if missing.parent.is_dir() else []
    what = "no file matches" if _MAGIC.search(given) else "there is no"
    whose = f"source {name!r}: " if name else ""
    return ConfigError(
        f"{whose}{what} {given} (nothing called {missing.name!r} in {missing.parent})",
        next_step=f"{nearest(missing.name, beside)} Or change path in [tool.mlops.sources.{name or 'NAME'}]",
    )


def _remote(given: str, source: Source) -> Iterator[Remote]:
    import fsspec.core

    shown = re.sub(r"//[^/@]*@", "//…@", given)
    try:
        system, place = fsspec.core.url_to_fs(given)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{shown} cannot be opened: {error}", next_step="install what the message names, or use another URL"
        ) from None
    with _reached(shown):
        if _MAGIC.search(place):
            places = sorted(system.glob(place))
        elif system.isdir(place):
            places = sorted(found for found in system.find(place) if _known(found.rsplit("/", 1)[-1]))
        else:
            places = [place] if system.exists(place) else []
    if not places:
        raise OutsideError(f"there is nothing at {shown}", next_step="check the URL and the rights of your credentials")
    for found in places:
        name = found.rsplit("/", 1)[-1]
        yield Remote(system, found, shown if len(places) == 1 else f"{shown} ({name})", source.format or form_of(name))


@contextmanager
def _reached(shown: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise OutsideError(
            f"there is nothing at {shown}", next_step="check the URL and the rights of your credentials"
        ) from error
    except PermissionError as error:
        raise OutsideError(f"{shown} may not be read", next_step="check the rights of your credentials") from error
    except OSError as error:
        raise OutsideError(
            f"{shown} cannot be reached: {error}", next_step="check the network, then run again"
        ) from error
