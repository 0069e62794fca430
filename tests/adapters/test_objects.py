"""Objects are named by their content, checked when read, and never half there."""

from __future__ import annotations

import pytest

from mlops.adapters.objects import ObjectStore
from mlops.errors import OutsideError


@pytest.fixture
def store(tmp_path):
    return ObjectStore(tmp_path / "store")


def test_the_same_content_has_one_name_and_one_file(store):
    assert store.put(b"one") == store.put(b"one")
    assert sum(path.is_file() for path in store.root.rglob("*")) == 1
    assert store.put_json({"b": 1, "a": 2}) == store.put_json({"a": 2, "b": 1})


def test_a_flipped_byte_is_found_on_read_and_computed_anew(store):
    """PROMISES 16."""
    digest = store.put(b"a model")
    store.path(digest).write_bytes(b"a modem")
    with pytest.raises(OutsideError, match="corrupt"):
        store.get(digest)
    assert not store.has(digest), "so the next run makes it again"


def test_a_missing_object_says_how_to_make_it(store):
    with pytest.raises(OutsideError, match="mlops run"):
        store.get("ab" * 32)


def test_a_folder_comes_back_as_it_was(store, tmp_path):
    (tmp_path / "bento" / "src").mkdir(parents=True)
    (tmp_path / "bento" / "src" / "model").write_bytes(b"m")
    (tmp_path / "bento" / "bento.yaml").write_bytes(b"y")
    store.get_tree(store.put_tree(tmp_path / "bento"), tmp_path / "again")
    assert (tmp_path / "again" / "src" / "model").read_bytes() == b"m"
    assert (tmp_path / "again" / "bento.yaml").read_bytes() == b"y"
