from __future__ import annotations

import json
import re
import shutil

import pytest

from mlops.release import MANIFEST, PAYLOAD, name_of
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


def test_one_flipped_byte_in_any_file_is_refused(folder):
    """Promise 10: each file of the release, at three places."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST]
    assert len(files) > 5
    for file in files:
        content = file.read_bytes()
        for place in {0, len(content) // 2, len(content) - 1} if content else ():
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(NotWhole, match=re.escape(f"{file.relative_to(folder).as_posix()} was changed")):
                verify(folder)
        file.write_bytes(content)
    verify(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "fraud_v9"),
        ("metric", "f1"),
        ("metrics", {"roc_auc": 0.99}),
        ("params", {"seed": 1}),
        ("snapshot", {"transactions": "a" * 64}),
        ("features", {"mean_v1": "a" * 64}),
        ("evidence", {"check-model": "overridden by ann until 2030-01-01: no"}),
        ("more", 1),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(folder, field, value):
    """Promise 10."""
    told = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps({**told, field: value}))
    with pytest.raises(NotWhole, match=r"manifest\.json was changed"):
        verify(folder)


def test_a_manifest_of_an_earlier_version_is_whole(folder):
    """A field that came later is not held against a release that was named without it."""
    told = json.loads((folder / MANIFEST).read_bytes())
    older = {name: value for name, value in told.items() if name not in ("beside", "python")}
    older["release"] = name_of(older)
    (folder / MANIFEST).write_text(json.dumps(older))
    assert verify(folder.rename(folder.with_name(older["release"]))).python == ""


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
