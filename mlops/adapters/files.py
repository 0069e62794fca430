"""Files that are whole or not there: durable atomic writes, digests, folders that appear at once.

A naive write that is killed tears files; write, fsync, rename, fsync of the folder tears none.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops.errors import OutsideError

_CHUNK = 1 << 20


def digest_bytes(data: bytes) -> str:
    """The sha256 of bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """The sha256 of a file's content, 64 hex digits, in constant memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree(folder: Path) -> dict[str, str]:
    """Each file below `folder` as POSIX path -> sha256, sorted; links are refused (they point outside)."""
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise OutsideError(f"{path} is a symbolic link", next_step="replace it by the file that it points to")
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = digest_file(path)
    return files


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`, durably: readers see the old content or the new, never a part.

    Raises OutsideError with the path when the disk is full or not writable; nothing is left behind.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path, *, mark: str = "") -> Iterator[Path]:
    """A temporary path beside `path`; what is written there takes its place durably, or is removed.

    With a `mark` it always has the same name: who is killed and run again leaves nothing, if only one writes at a time.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name}.{mark}.tmp" if mark else _temporary(path)
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    return Path(name)


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its name when the block ends well, else vanishes.

    A folder that is there already is left as it is, so the caller names it by its content.
    """
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
        try:
            yield temporary
            for path in temporary.rglob("*"):
                sync(path)
            sync(temporary)
            try:
                temporary.rename(folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            sync(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, a read-only file system or missing rights into an OutsideError that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutsideError(f"no space left for {path}", next_step="free some space, then run again") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise OutsideError(f"{path} is not writable", next_step="check its owner and rights") from error
        raise


def no_space(error: BaseException) -> bool:
    """Whether an error of whatever library says that the disk is full: copying a folder tells it in words alone."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or os.strerror(errno.ENOSPC) in str(error)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def copy_chunks(source: Path, target: Path) -> None:
    """Copy a file's content in constant memory."""
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, _CHUNK)


def scratch_folder(parent: Path) -> Path:
    """A new folder below `parent` for what lives shortly."""
    with disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=parent))
