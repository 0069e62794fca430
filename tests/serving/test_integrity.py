from __future__ import annotations

import shutil

import pytest

from mlops.release import MANIFEST, PAYLOAD
from mlops.serving.integrity import NotWhole, verify


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made.releases / made.first, tmp_path / made.first)


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def test_a_whole_release_gives_its_manifest(folder):
    assert verify(folder).release == folder.name


@pytest.mark.parametrize("name", ["model.onnx", "contract.json", "golden.json"])
def test_one_flipped_byte_is_refused_by_name(folder, name):
    """Promise 10."""
    flip(folder / PAYLOAD / name)
    with pytest.raises(NotWhole, match=rf"{name} was changed"):
        verify(folder)


@pytest.mark.parametrize("name", ["extra.py", "bento/src/features/__pycache__/money.cpython-311.pyc"])
def test_an_added_file_is_refused_by_name(folder, name):
    """Promise 10."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("")
    with pytest.raises(NotWhole, match="was added"):
        verify(folder)


def test_a_removed_file_is_refused_by_name(folder):
    """Promise 10."""
    (folder / PAYLOAD / "golden.json").unlink()
    with pytest.raises(NotWhole, match=r"golden\.json was removed"):
        verify(folder)


def test_a_renamed_file_is_refused(folder):
    """Promise 10."""
    (folder / PAYLOAD / "golden.json").rename(folder / PAYLOAD / "gold.json")
    with pytest.raises(NotWhole, match=r"golden\.json was removed; .*gold\.json was added"):
        verify(folder)


def test_a_renamed_release_is_refused(folder):
    """Promise 10."""
    other = folder.rename(folder.with_name("fraud_v1-000000000000"))
    with pytest.raises(NotWhole, match="renamed"):
        verify(other)


def test_a_link_is_refused(folder, tmp_path):
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(NotWhole, match="symbolic link"):
        verify(folder)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff"])
def test_a_release_without_a_readable_manifest_is_refused(folder, content):
    (folder / MANIFEST).unlink()
    if content is not None:
        (folder / MANIFEST).write_bytes(content)
    with pytest.raises(NotWhole):
        verify(folder)
