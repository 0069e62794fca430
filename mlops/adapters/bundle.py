"""One file of many: named members with their digests, written whole, believed only when all of it is proven.

A tar archive, gzipped where its name ends so. Its first member lists the others, with size and sha256, and says what
they are; where a key is given, a seal (HMAC-SHA256 over the listing) proves that the writer had the same key.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from mlops.adapters import files
from mlops.errors import OutsideError

_LISTING, _SEAL = "state.json", "state.seal"
_FORMAT = 1
_LONGEST_LISTING = 1 << 28
_CHUNK = 1 << 20
_DIGEST = 64
_ZIPPED = (".gz", ".tgz")


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member must be."""

    size: int
    digest: str


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first member: the others by name, and what the writer says of them, as JSON."""

    format: int
    members: dict[str, Member]
    about: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is whole: what its writer says, where its members lie now, and whether a seal proves the writer."""

    about: bytes
    members: Mapping[str, Path]
    digests: Mapping[str, str]
    sealed: bool


def write(target: Path, about: bytes, members: Mapping[str, Path], key: str = "") -> int:
    """Write `target`, whole or not at all; gives its size in bytes. The members must not change meanwhile."""
    listed = {name: Member(path.stat().st_size, files.digest_file(path)) for name, path in sorted(members.items())}
    listing = msgspec.json.encode(Listing(_FORMAT, listed, msgspec.Raw(about)))
    with files.replacing(target) as temporary:
        mode = "w:gz" if target.name.endswith(_ZIPPED) else "w"
        with tarfile.open(temporary, mode, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
            _add(archive, _LISTING, io.BytesIO(listing), len(listing))
            if key:
                seal = _sealed(listing, key)
                _add(archive, _SEAL, io.BytesIO(seal), len(seal))
            for name, member in listed.items():
                with members[name].open("rb") as content:
                    _add(archive, name, content, member.size)
    return target.stat().st_size


@contextmanager
def opened(source: Path, scratch: Path, key: str = "") -> Iterator[Opened]:
    """The members of a whole file, unpacked below `scratch` while the block runs.

    OutsideError for anything else: a digest or size that is not as listed, a member that is no plain file, is not
    listed or comes twice, a name that leads out of its folder, more than the disk can take, a torn archive.
    """
    if not source.is_file():
        raise OutsideError(f"there is no file {source}", next_step="give the file that `mlops state export` wrote")
    folder = files.scratch_folder(scratch)
    try:
        yield _unpacked(source, folder, key)
    except (tarfile.TarError, zlib.error, EOFError, msgspec.DecodeError, UnicodeError) as error:
        raise _damaged(source, f"{type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpacked(source: Path, folder: Path, key: str) -> Opened:
    with files.disk_errors(folder), tarfile.open(source, "r|*") as archive:
        stream = iter(archive)
        first = next(stream, None)
        if first is None or first.name != _LISTING or not first.isreg() or first.size > _LONGEST_LISTING:
            raise _damaged(source, f"it does not begin with {_LISTING}")
        raw = _content(archive, first).read()
        listing = msgspec.json.decode(raw, type=Listing)
        _demand(source, listing, folder)
        found: dict[str, Path] = {}
        seal = b""
        for member in stream:
            if member.name == _SEAL and not found and not seal and member.isreg() and member.size <= _DIGEST:
                seal = _content(archive, member).read()
                continue
            wanted = listing.members.get(member.name)
            if wanted is None or member.name in found or not member.isreg() or member.size != wanted.size:
                raise _damaged(source, f"{member.name!r} is not what the listing says")
            found[member.name] = place = folder / str(len(found))
            if _copied(_content(archive, member), place) != wanted.digest:
                raise _damaged(source, f"{member.name!r} has another content than the listing says")
    missing = sorted(listing.members.keys() - found.keys())
    if missing:
        raise _damaged(source, f"{missing[0]!r} is missing")
    digests = {name: member.digest for name, member in listing.members.items()}
    return Opened(bytes(listing.about), found, digests, bool(key) and hmac.compare_digest(seal, _sealed(raw, key)))


def _demand(source: Path, listing: Listing, folder: Path) -> None:
    if listing.format != _FORMAT:
        raise OutsideError(
            f"{source} has the format {listing.format}; this version reads {_FORMAT}",
            next_step="use the same version of mlops on both machines",
        )
    for name, member in listing.members.items():
        if not within(name) or member.size < 0:
            raise _damaged(source, f"the name {name!r} leads out of its folder")
    needed, free = sum(member.size for member in listing.members.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise OutsideError(
            f"{source} unpacks to {needed:,} bytes; {free:,} are free for {folder}",
            next_step="free some space, then run again",
        )


def within(name: str) -> bool:
    """Whether a name is a plain relative path that stays in its folder, on any system."""
    parts = PurePosixPath(name).parts
    odd = "\\" in name or ":" in name or "\0" in name
    return bool(parts) and not odd and "/".join(parts) == name and not {"..", ".", "/"} & set(parts)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    if content is None:
        raise tarfile.ReadError(f"{member.name!r} is no plain file")
    return content


def _copied(content: IO[bytes], place: Path) -> str:
    digest = hashlib.sha256()
    with place.open("wb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    archive.addfile(member, content)


def _sealed(listing: bytes, key: str) -> bytes:
    return hmac.new(key.encode(), listing, hashlib.sha256).hexdigest().encode()


def _damaged(source: Path, why: str) -> OutsideError:
    return OutsideError(
        f"{source} is damaged, nothing was taken from it: {why}", next_step="export it again, or go on without it"
    )
