"""A file of many members is whole or refused: one flipped byte, a name that leads out, a member that nobody listed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from mlops.adapters import bundle
from mlops.errors import OutsideError


@pytest.fixture
def members(tmp_path):
    (tmp_path / "a").write_bytes(b"first" * 500)
    (tmp_path / "b").write_bytes(b"")
    return {"objects/a": tmp_path / "a", "deep/er/b": tmp_path / "b"}


def contents(source, scratch, key=""):
    with bundle.opened(source, scratch, key) as opened:
        return {name: path.read_bytes() for name, path in opened.members.items()}, json.loads(opened.about)


@pytest.mark.parametrize("name", ["state.tar", "state.tar.gz"])
def test_what_was_written_is_read_and_nothing_is_left_of_the_reading(tmp_path, members, name):
    bundle.write(tmp_path / name, b'{"by": "ann"}', members)
    found, about = contents(tmp_path / name, tmp_path / "scratch")
    assert found == {name: path.read_bytes() for name, path in members.items()}
    assert about == {"by": "ann"}
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("name", ["state.tar", "state.tar.gz"])
def test_a_flipped_byte_anywhere_is_found_or_was_padding(tmp_path, members, name):
    """Promise 16, for what travels."""
    bundle.write(tmp_path / name, b"{}", members)
    whole = (tmp_path / name).read_bytes()
    expected = contents(tmp_path / name, tmp_path / "scratch")
    refused = 0
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        torn = bytearray(whole)
        torn[place] ^= 0x41
        (tmp_path / name).write_bytes(torn)
        try:
            assert contents(tmp_path / name, tmp_path / "scratch") == expected
        except OutsideError:
            refused += 1
    assert refused > 20
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_a_torn_file_is_refused(tmp_path, members, share):
    bundle.write(tmp_path / "state.tar.gz", b"{}", members)
    whole = (tmp_path / "state.tar.gz").read_bytes()
    (tmp_path / "state.tar.gz").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(OutsideError, match="damaged"):
        contents(tmp_path / "state.tar.gz", tmp_path / "scratch")


def archive(path, *entries):
    """A tar of (TarInfo, bytes), as somebody else might write it."""
    with tarfile.open(path, "w") as tar:
        for info, data in entries:
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    return path


def listing(**named):
    listed = {name: {"size": len(data), "digest": hashlib.sha256(data).hexdigest()} for name, data in named.items()}
    return tarfile.TarInfo("state.json"), json.dumps({"format": 1, "members": listed, "about": {}}).encode()


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


HOSTILE = {
    "a name that goes up": [listing(**{"../../etc/x": b"x"}), (tarfile.TarInfo("../../etc/x"), b"x")],
    "a name from the root": [listing(**{"/etc/x": b"x"}), (tarfile.TarInfo("/etc/x"), b"x")],
    "a name of another system": [listing(**{"a\\..\\x": b"x"}), (tarfile.TarInfo("a\\..\\x"), b"x")],
    "a name with a drive": [listing(**{"C:/x": b"x"}), (tarfile.TarInfo("C:/x"), b"x")],
    "an empty part": [listing(**{"a//x": b"x"}), (tarfile.TarInfo("a//x"), b"x")],
    "a symbolic link": [listing(a=b"x"), link("a", "/etc/passwd")],
    "a hard link": [listing(a=b"x"), link("a", "/etc/passwd", tarfile.LNKTYPE)],
    "a device": [listing(a=b""), link("a", "", tarfile.CHRTYPE)],
    "a member that is not listed": [listing(a=b"x"), (tarfile.TarInfo("a"), b"x"), (tarfile.TarInfo("b"), b"x")],
    "a member twice": [listing(a=b"x"), (tarfile.TarInfo("a"), b"x"), (tarfile.TarInfo("a"), b"x")],
    "a member that is longer": [listing(a=b"x"), (tarfile.TarInfo("a"), b"x" * 10_000)],
    "a member of another content": [listing(a=b"x"), (tarfile.TarInfo("a"), b"y")],
    "a member that is missing": [listing(a=b"x", b=b""), (tarfile.TarInfo("a"), b"x")],
    "no listing": [(tarfile.TarInfo("a"), b"x")],
    "a listing that is none": [(tarfile.TarInfo("state.json"), b"[1, 2]")],
    "a listing that is a link": [link("state.json", "/etc/passwd")],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(tmp_path, what):
    file = archive(tmp_path / "state.tar", *HOSTILE[what])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutsideError):
        contents(file, tmp_path / "scratch")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "scratch"])


def test_more_than_the_disk_can_take_is_refused_before_it_is_unpacked(tmp_path):
    text = json.dumps({"format": 1, "members": {"a": {"size": 1 << 60, "digest": "0" * 64}}, "about": {}}).encode()
    file = archive(tmp_path / "state.tar", (tarfile.TarInfo("state.json"), text))
    with pytest.raises(OutsideError, match="are free"):
        contents(file, tmp_path / "scratch")


def test_a_file_of_a_later_format_says_so(tmp_path):
    text = json.dumps({"format": 9, "members": {}, "about": {}}).encode()
    file = archive(tmp_path / "state.tar", (tarfile.TarInfo("state.json"), text))
    with pytest.raises(OutsideError, match="format 9"):
        contents(file, tmp_path / "scratch")


def test_only_the_same_key_opens_the_seal(tmp_path, members):
    file = tmp_path / "state.tar"
    bundle.write(file, b"{}", members, "secret")
    for key, sealed in (("secret", True), ("other", False), ("", False)):
        with bundle.opened(file, tmp_path / "scratch", key) as opened:
            assert opened.sealed is sealed
    bundle.write(file, b"{}", members)
    with bundle.opened(file, tmp_path / "scratch", "secret") as opened:
        assert not opened.sealed


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, members):
    members["gone"] = tmp_path / "gone"
    with pytest.raises(FileNotFoundError):
        bundle.write(tmp_path / "state.tar", b"{}", members)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
