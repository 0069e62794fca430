"""A team's store promises nothing that is not there, wherever its writer or its collector is killed."""

from __future__ import annotations

from uuid import uuid4

import pytest

from mlops.adapters.index import Entry
from mlops.adapters.objects import ObjectStore
from mlops.adapters.shared import FilePlace, SharedStore
from mlops.verdict import Record

KEY = "ab" * 32


class Killed(BaseException):
    """What ends a process has no name that the product catches."""


class Mortal(FilePlace):
    """A folder whose user dies at the nth change."""

    def __init__(self, url, left):
        super().__init__(url)
        self.left = left

    def write(self, name, content):
        self._age()
        super().write(name, content)

    def remove(self, name):
        self._age()
        super().remove(name)

    def _age(self):
        self.left -= 1
        if self.left < 0:
            raise Killed


@pytest.fixture
def made(tmp_path):
    """An entry with a folder of three files, and the store that holds them."""
    objects = ObjectStore(tmp_path / "store")
    for name in ("a", "b", "c"):
        (tmp_path / "tree").mkdir(exist_ok=True)
        (tmp_path / "tree" / name).write_text(name * 100)
    outputs = {"bento": objects.put_tree(tmp_path / "tree")}
    return Entry(record=Record(step="package", subject="m", key=KEY, outputs=outputs)), objects


def whole_or_nothing(place, made, tmp_path):
    """Whether another machine finds the entry; if it does, all of it must be there."""
    store, other = SharedStore(place), ObjectStore(tmp_path / f"other {uuid4().hex}")
    kept = store.find(KEY)
    if kept is None:
        return False
    assert store.bring(kept, other, tmp_path)
    other.get_tree(made[0].record.outputs["bento"], tmp_path / uuid4().hex)
    return True


def test_a_writer_that_is_killed_anywhere_leaves_a_whole_entry_or_none(made, tmp_path):
    """Promise 12, for what a team shares; the next writer completes it."""
    seen = []
    for left in range(6):
        bucket = str(tmp_path / f"bucket {left}")
        try:
            SharedStore(Mortal(bucket, left)).keep(*made)
        except Killed:
            seen.append(left)
        found = whole_or_nothing(FilePlace(bucket), made, tmp_path)
        assert found == (left == 5), "a record is written last"
        SharedStore(FilePlace(bucket)).keep(*made)
        assert whole_or_nothing(FilePlace(bucket), made, tmp_path)
    assert seen == [0, 1, 2, 3, 4]


def test_a_collector_that_is_killed_anywhere_leaves_a_whole_entry_or_none(made, tmp_path):
    for left in range(6):
        bucket = str(tmp_path / f"bucket {left}")
        SharedStore(FilePlace(bucket)).keep(*made)
        store = SharedStore(Mortal(bucket, left))
        try:
            store.drop([KEY], store.sizes(), [])
        except Killed:
            assert left < 5
        assert whole_or_nothing(FilePlace(bucket), made, tmp_path) == (left == 0)


def test_an_object_store_is_as_good_a_place_as_a_folder(made, tmp_path):
    """It has no folders, renames nothing, and writes a name by one request."""
    place = FilePlace(f"memory://{uuid4().hex}")
    store = SharedStore(place)
    assert (store.find(KEY), store.releases(), place.names("claims"), place.size("objects/x/content")) == (
        None,
        (),
        [],
        0,
    )
    place.remove("claims/nobody")
    store.keep(*made)
    assert whole_or_nothing(place, made, tmp_path)
    assert sorted(store.sizes().values())[:3] == [100, 100, 100]
    assert store.claims.take(KEY, lambda: False)
    assert len(place.names("claims")) == 1
    store.claims.close()
    store.publish("m-1", b"{}")
    assert store.releases() == ("m-1",)
    store.drop([KEY], store.sizes(), ["m-1"])
    assert (store.find(KEY), store.sizes(), store.releases(), place.names("claims")) == (None, {}, (), [])
