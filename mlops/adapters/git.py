"""What git knows of the project: commit, branch, unsaved changes, who works here, what a change touched.

A project without git, or without a commit yet, is welcome: its commit is `uncommitted` and it counts as dirty.
"""

from __future__ import annotations

import getpass
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops.errors import UsageError

UNCOMMITTED = "uncommitted"

_SECONDS = 30
_NOT_OURS = ":(exclude).mlops"  # what we write ourselves is no unsaved change, ignored or not


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a working copy stands; `branch` is empty on a detached head, `shallow` means that history is cut off."""

    commit: str
    branch: str
    dirty: bool
    shallow: bool

    @property
    def known(self) -> bool:
        """Whether there is a commit to name the work by."""
        return self.commit != UNCOMMITTED


def state(root: Path) -> State:
    """The state of the repository that `root` lies in, as git sees it."""
    status = _git(root, "status", "--porcelain=v2", "--branch", "--untracked-files=normal", "--", ".", _NOT_OURS)
    if status is None:
        return State(commit=UNCOMMITTED, branch="", dirty=True, shallow=False)
    heads = dict(line[2:].split(" ", 1) for line in status.splitlines() if line.startswith("# branch."))
    commit = heads.get("branch.oid", "(initial)")
    branch = heads.get("branch.head", "(detached)")
    return State(
        commit=UNCOMMITTED if commit == "(initial)" else commit,
        branch="" if branch == "(detached)" else branch,
        dirty=any(not line.startswith("#") for line in status.splitlines()),
        shallow=(_git(root, "rev-parse", "--is-shallow-repository") or "").strip() == "true",
    )


def who(root: Path) -> str:
    """The name that git, else the system, knows the person by."""
    name = (_git(root, "config", "user.name") or "").strip()
    if name:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user id has no name
        return "unknown"


def remote(root: Path) -> str:
    """Where `origin` is; "" where there is none."""
    return (_git(root, "remote", "get-url", "origin") or "").strip()


def top(root: Path) -> Path:
    """The folder of the repository that `root` lies in; `root` itself where there is none."""
    found = (_git(root, "rev-parse", "--show-toplevel") or "").strip()
    return Path(found) if found else root


def knows(root: Path, commit: str) -> bool:
    """Whether a commit is here, or history is cut off so that nobody can tell."""
    return _git(root, "cat-file", "-e", f"{commit}^{{commit}}") is not None or state(root).shallow


def changed_files(root: Path, base: str) -> tuple[str, ...]:
    """Files (POSIX paths below `root`) that differ from where this branch left `base`, unsaved and new ones included.

    UsageError where `base` is unknown, which in a shallow clone means that history is cut off.
    """
    if base.startswith("-"):
        raise UsageError(f"{base!r} is not a commit or branch", next_step="give a branch, tag or commit")
    start = (_git(root, "merge-base", base, "HEAD") or "").strip()
    if not start:
        here = state(root)
        why = (
            "this clone is shallow"
            if here.shallow
            else "git does not know it"
            if here.known
            else "there is no commit here"
        )
        raise UsageError(
            f"cannot tell what changed since {base!r}: {why}",
            next_step="run `git fetch --unshallow`; in a workflow give actions/checkout `fetch-depth: 0`"
            if here.shallow
            else "name a commit or branch that git knows: `mlops plan --base HEAD~1`"
            if here.known
            else "git init && git add . && git commit -m start",
        )
    tracked = _git(root, "diff", "--name-only", "-z", "--relative", "--no-renames", start, "--", ".") or ""
    new = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", ".") or ""
    return tuple(sorted({name for name in (tracked + new).split("\0") if name}))


@contextmanager
def tree_of(root: Path, base: str) -> Iterator[Path]:
    """A temporary copy of the project as it was where this branch left `base`; removed when the block ends."""
    start = (_git(root, "merge-base", base, "HEAD") or "").strip()
    with tempfile.TemporaryDirectory(prefix="mlops-base-") as folder:
        # `COMMIT:./` is the tree of the project's own folder, also where it is not the repository's root.
        archive = Path(folder) / "base.tar"
        if start and _git(root, "archive", "--format=tar", f"--output={archive}", f"{start}:./") is not None:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            archive.unlink()
        yield Path(folder)


def checkout(root: Path, commit: str, target: Path) -> Path | None:
    """The project's folder in a clone that stands at a commit; None where the commit is not known here.

    The repository is only read: a worktree would be noted in it.
    """
    top, prefix = _git(root, "rev-parse", "--show-toplevel"), _git(root, "rev-parse", "--show-prefix")
    if top is None or prefix is None or _git(root, "cat-file", "-e", f"{commit}^{{commit}}") is None:
        return None
    if _git(root, "clone", "--quiet", "--no-checkout", "--shared", top.strip(), str(target)) is None:
        return None
    # A commit of no branch is in the shared objects all the same.
    done = _git(target, "checkout", "--quiet", "--detach", commit)
    return None if done is None else target / prefix.strip()


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails, is missing, or there is no repository."""
    command = ["git", "-C", str(root), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None
