"""How the code of two releases differs: of their files where these differ, and of what their functions reach."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from mlops.closure import definitions, module_of
from mlops.comparing import SOURCES, Side
from mlops.declare import split_version
from mlops.discover import FOLDERS

_OURS = ("mlops/", "release/", "bentofile.yaml")  # of a bento's sources: what the package step wrote


def code(one: Side, other: Side) -> str:
    """The unified diffs, "" where the code is the same.

    First of the project's files that travel in the two. Where two versions stand in one file, that is the same in both,
    so then of the definitions that the models and their features reach, a version beside the version of its family.
    """
    before, after = _files(one), _files(other)
    lines = [*_diff(before, after, one, other)]
    for here, there in _pairs(one, other):
        texts = [_reached(side, name) for side, name in ((one, here), (other, there))]
        if texts[0] and texts[1] and here != there:
            lines += _diff(_only(texts[0], texts[1]), _only(texts[1], texts[0]), one, other, named=(here, there))
    return "\n".join(lines)


def _files(one: Side) -> dict[str, str]:
    root = one.place / SOURCES
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith(_OURS) and "__pycache__" not in path.parts:
            found[name] = path.read_text(encoding="utf-8", errors="replace")
    return found


def _pairs(one: Side, other: Side) -> Iterator[tuple[str, str]]:
    """The two models, and each feature beside that of the same family."""
    yield one.manifest.model, other.manifest.model
    theirs = {split_version(name)[0]: name for name in other.manifest.features}
    for name in sorted(one.manifest.features):
        if split_version(name)[0] in theirs:
            yield name, theirs[split_version(name)[0]]


def _reached(one: Side, name: str) -> dict[str, str]:
    """The text of every definition that a function reaches, itself under its family's name, features left out."""
    root = one.place / SOURCES
    module = module_of(name, root, FOLDERS)
    if module is None:
        return {}
    family = split_version(name)[0]
    parts = [
        part for part in definitions(module, name, root) if part.name == name or part.name not in one.manifest.features
    ]
    return {family if part.name == name else part.name: part.text for part in parts}


def _only(texts: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """What the other side has not, or has otherwise."""
    return {name: text for name, text in texts.items() if others.get(name) != text}


def _diff(
    before: Mapping[str, str], after: Mapping[str, str], one: Side, other: Side, *, named: tuple[str, str] | None = None
) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if before.get(name) == after.get(name):
            continue
        here, there = named if named and name == split_version(named[0])[0] else (name, name)
        yield from difflib.unified_diff(
            before.get(name, "").splitlines(),
            after.get(name, "").splitlines(),
            f"{one.manifest.release}/{here}",
            f"{other.manifest.release}/{there}",
            lineterm="",
        )
