from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from mlops.serving import batching
from mlops.serving.batching import Batcher
from mlops.serving.refusal import Refused
from mlops.serving.runtime import Decided


class Release:
    """Answers each row with its double, and remembers how many rows each call had."""

    def __init__(self):
        self.calls = []
        self.gate = threading.Event()
        self.gate.set()

    def decide(self, rows, stored=None, tell=None):
        self.gate.wait(10)
        self.calls.append(len(rows))
        for place, row in enumerate(rows):
            if row["x"] is None:
                raise Refused(422, "no finite number", row=place)
        return Decided([{"prediction": row["x"] * 2} for row in rows], {"x": [row["x"] for row in rows]})


@pytest.fixture
def release():
    return Release()


def rows(*values):
    return [{"x": value} for value in values]


def told(*_):
    return None


async def while_one_is_computed(release, *requests, batcher=None):
    """The outcomes of `requests` that came while a first one was being computed."""
    batcher = batcher or Batcher(told)
    release.gate.clear()
    first = asyncio.create_task(batcher.answer(release, rows(0)))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(batcher.answer(one, asked)) for one, asked in requests]
    await asyncio.sleep(0)
    release.gate.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


def test_a_request_alone_is_computed_at_once(release):
    assert asyncio.run(Batcher(told).answer(release, rows(1, 2))).answers == [{"prediction": 2}, {"prediction": 4}]
    assert release.calls == [2]


def test_requests_that_wait_are_computed_together_and_each_gets_its_own(release):
    asked = [(release, rows(n, n + 100)) for n in range(5)]
    answers = asyncio.run(while_one_is_computed(release, *asked))
    assert [one.answers for one in answers] == [[{"prediction": 2 * n}, {"prediction": 2 * n + 200}] for n in range(5)]
    assert [one.table["x"][one.start :][:2] for one in answers] == [[n, n + 100] for n in range(5)]
    assert release.calls == [1, 10]


def test_one_that_cannot_be_answered_does_not_spoil_the_others(release):
    answers = asyncio.run(
        while_one_is_computed(release, (release, rows(1)), (release, rows(5, None)), (release, rows(2)))
    )
    assert answers[0].answers == [{"prediction": 2}]
    assert answers[2].answers == [{"prediction": 4}]
    assert (answers[1].status, answers[1].row) == (422, 1)


def test_each_release_is_asked_its_own_requests_in_the_order_they_came(release):
    other = Release()
    answers = asyncio.run(
        while_one_is_computed(release, (release, rows(1)), (other, rows(2)), (other, rows(3)), (release, rows(4)))
    )
    assert [one.answers[0]["prediction"] for one in answers] == [2, 4, 6, 8]
    assert release.calls == [1, 2]
    assert other.calls == [1, 1], "it waits for no other release"


class Hanging(Release):
    """Never ends where a row is -1, until the test has."""

    release = "hanging"

    def __init__(self):
        super().__init__()
        self.over = threading.Event()

    def decide(self, rows, stored=None, tell=None):
        if any(row["x"] == -1 for row in rows):
            self.over.wait(60)
        return super().decide(rows)


@pytest.fixture
def hanging():
    release = Hanging()
    yield release
    release.over.set()


def test_a_release_that_hangs_holds_up_nobody_who_asks_another(release, hanging):
    """Promise 9: a canary that hangs at a request."""

    async def story():
        batcher = Batcher(told)
        hung = asyncio.create_task(batcher.answer(hanging, rows(-1)))
        await asyncio.sleep(0)
        said = [await asyncio.wait_for(batcher.answer(release, rows(n)), 20) for n in range(3)]
        hung.cancel()
        return [one.answers[0]["prediction"] for one in said]

    assert asyncio.run(story()) == [0, 2, 4]


def test_what_hangs_is_given_up_and_the_next_requests_go_on(hanging, monkeypatch):
    monkeypatch.setattr(batching, "MOST_HUNG", 2)
    ended = []

    async def story():
        batcher = Batcher(told, seconds=1.0, worn_out=ended.append)
        for _ in range(batching.MOST_HUNG):
            assert ended == []
            hung = asyncio.create_task(batcher.answer(hanging, rows(-1)))
            await asyncio.sleep(0.5)  # this one is in time, when that one is given up
            waits = asyncio.create_task(batcher.answer(hanging, rows(7)))
            with pytest.raises(Refused, match="no answer within 1 seconds") as caught:
                await hung
            assert caught.value.status == 504
            assert (await waits).answers == [{"prediction": 14}]
        with pytest.raises(Refused, match="the release hangs") as caught:
            await batcher.answer(hanging, rows(7))
        assert caught.value.status == 503

    asyncio.run(story())
    assert ended == [hanging]


def test_a_time_out_in_the_release_itself_is_its_own(release, monkeypatch):
    def late(*_):
        raise TimeoutError("a database")

    monkeypatch.setattr(release, "decide", late)
    with pytest.raises(TimeoutError, match="a database"):
        asyncio.run(Batcher(told).answer(release, rows(1)))


def test_with_a_release_goes_its_thread():
    async def story():
        batcher, release = Batcher(told), Release()
        await batcher.answer(release, rows(1))
        (mine,) = {*threading.enumerate()} - before
        del release
        gc.collect()
        await asyncio.to_thread(mine.join, 20)
        return mine

    before = {*threading.enumerate()}
    assert not asyncio.run(story()).is_alive()


def test_a_shared_call_is_bounded_and_a_large_request_is_alone(release):
    large = rows(*range(batching.MOST_TOGETHER + 1))
    small = rows(*range(100))
    asyncio.run(while_one_is_computed(release, (release, small), (release, large), *[(release, small)] * 3))
    assert release.calls == [1, 100, len(large), 200, 100]


def test_who_has_gone_is_not_computed(release):
    async def gone():
        batcher = Batcher(told)
        release.gate.clear()
        first = asyncio.create_task(batcher.answer(release, rows(0)))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(batcher.answer(release, rows(1)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        release.gate.set()
        await first
        return await batcher.answer(release, rows(7))

    assert asyncio.run(gone()).answers == [{"prediction": 14}]
    assert release.calls == [1, 1]


def test_more_than_may_wait_are_told_to_come_back(release, monkeypatch):
    monkeypatch.setattr(batching, "MOST_WAITING", 3)
    outcomes = asyncio.run(while_one_is_computed(release, *[(release, rows(1))] * 5))
    assert [one.status for one in outcomes if isinstance(one, Refused)] == [503, 503]
    assert [one.answers[0]["prediction"] for one in outcomes[:3]] == [2, 2, 2]
