from __future__ import annotations

import asyncio
import threading
import time

import pytest

from mlops.errors import OutsideError
from mlops.serving.host import FollowingHost
from mlops.serving.pointer import Pointer, Tried, read_acks, write_pointer
from mlops.serving.shadow import Shadow
from mlops.serving.tally import read_tallies, total
from mlops.serving.trying import lot
from tests.serving.releases import contract, make_release
from tests.serving.test_host import following_run, until

LATER = 4e9


def pointing(place, made, *, generation=2, share=0.3, until=LATER, release=None):
    tried = Tried(release=release or made.second, trial="t1", share=share, until=until)
    write_pointer(place, Pointer(live=made.first, generation=generation, canary=tried))


@pytest.fixture
def following(made, tmp_path):
    write_pointer(tmp_path, Pointer(live=made.first, generation=1))
    return FollowingHost(tmp_path, made.releases, made.online)


def held(place, release):
    return any(release in ack.trying for ack in read_acks(place))


def body(customer, amount=20.0):
    return b'{"customer_id": %d, "amount": %.1f}' % (customer, amount)


def chosen(following, customers=range(1_000)):
    return {customer: following.chosen(body(customer), f"id-{time.time()}").release for customer in customers}


def test_a_canary_answers_its_share_and_always_the_same_customers(following, made, tmp_path):
    async def story():
        pointing(tmp_path, made)
        await until(lambda: held(tmp_path, made.second))
        first = chosen(following)
        mine = [customer for customer, release in first.items() if release == made.second]
        assert 0.25 * 1_000 < len(mine) < 0.35 * 1_000
        assert chosen(following) == first
        assert following.live.release == made.first

    following_run(following, story)


def test_a_worker_that_begins_holds_the_canary_before_it_takes_requests(following, made, tmp_path):
    """Else its customers would be answered by the live release for a while, after each restart."""
    pointing(tmp_path, made, share=0.5)
    following.load()
    assert set(chosen(following, range(100)).values()) == {made.first, made.second}
    assert held(tmp_path, made.second)
    asyncio.run(following.stop())


@pytest.mark.parametrize("how", [{"share": 0.5}, {"share": 0.0}, {"share": 0.5, "until": 1.0}])
def test_a_canary_that_hangs_or_is_asked_nothing_does_not_keep_a_worker_from_beginning(
    following, made, tmp_path, monkeypatch, how
):
    """Promise 9."""
    gate = threading.Event()
    honest = following._trying._load
    monkeypatch.setattr(following._trying, "_load", lambda release: (gate.wait(60), honest(release))[1])
    monkeypatch.setattr("mlops.serving.host._CANARY_SECONDS", 0.2)
    pointing(tmp_path, made, **how)
    following.load()
    assert set(chosen(following, range(100)).values()) == {made.first}
    gate.set()
    asyncio.run(following.stop())


def test_without_a_share_or_after_its_time_a_canary_is_asked_nothing(following, made, tmp_path):
    async def story():
        pointing(tmp_path, made, share=0.0)
        await until(lambda: held(tmp_path, made.second))
        assert set(chosen(following).values()) == {made.first}
        pointing(tmp_path, made, share=0.5, until=time.time() + 0.5, generation=3)
        await until(lambda: set(chosen(following).values()) == {made.first, made.second})
        await until(lambda: set(chosen(following).values()) == {made.first})

    following_run(following, story)


def test_a_canary_that_is_taken_off_the_pointer_is_asked_nothing_more(following, made, tmp_path):
    async def story():
        pointing(tmp_path, made, share=0.5)
        await until(lambda: held(tmp_path, made.second))
        write_pointer(tmp_path, Pointer(live=made.first, generation=3))
        await until(lambda: any(ack.generation == 3 for ack in read_acks(tmp_path)))
        assert set(chosen(following).values()) == {made.first}

    following_run(following, story)


def test_a_promoted_canary_is_not_loaded_again(following, made, tmp_path):
    async def story():
        pointing(tmp_path, made, share=0.5)
        await until(lambda: held(tmp_path, made.second))
        loaded = next(one for i in range(100) if (one := following.chosen(body(i), "x")).release == made.second)
        write_pointer(tmp_path, Pointer(live=made.second, previous=made.first, generation=3))
        await until(lambda: following.live.release == made.second)
        assert following.live is loaded

    following_run(following, story)


def test_a_canary_that_cannot_be_loaded_is_refused_by_name_and_gets_no_request(following, made, tmp_path):
    """Promise 9."""
    bad = make_release(made.releases, contract("fraud_v9"), broken=True)

    async def story():
        pointing(tmp_path, made, share=0.5, release=bad)
        await until(lambda: any(bad in ack.refused for ack in read_acks(tmp_path)))
        (ack,) = read_acks(tmp_path)
        assert "golden request" in ack.refused[bad]
        assert (ack.ok, ack.trying) == (True, ())
        assert set(chosen(following).values()) == {made.first}

    following_run(following, story)


def test_a_canary_that_hangs_while_it_is_loaded_does_not_deafen_the_worker(following, made, tmp_path, monkeypatch):
    """Promise 9."""
    begun, over = threading.Event(), threading.Event()

    def hanging(_):
        begun.set()
        over.wait(60)
        raise OutsideError("it never loads", next_step="")

    monkeypatch.setattr(following._trying, "_load", hanging)

    async def story():
        pointing(tmp_path, made, share=0.5)
        await until(begun.is_set)
        write_pointer(tmp_path, Pointer(live=made.plain, previous=made.first, generation=3))
        await until(lambda: following.live.release == made.plain)

    following_run(following, story)
    over.set()


def test_both_arms_are_counted_and_left_in_a_file(following, made, tmp_path):
    async def story():
        pointing(tmp_path, made, share=0.5)
        await until(lambda: held(tmp_path, made.second))
        for customer in range(40):
            release = following.chosen(body(customer), "x")
            following.told(release, body(customer), release.decide(release.decoder.decode(body(customer)).rows), "x")
            following.note(release, 200, 0.004)
        following.note(following.live, 500, 0.1)
        await until(lambda: total(read_tallies(tmp_path, "t1"), made.first).errors == 1)
        tallies = read_tallies(tmp_path, "t1")
        arms = [total(tallies, name) for name in (made.first, made.second)]
        assert sum(arm.requests for arm in arms) == 41
        assert all(arm.requests > 0 and sum(arm.numbers.values()) == sum(arm.labels.values()) for arm in arms)
        assert sum(sum(arm.latency.values()) for arm in arms) == 40
        assert not tallies[0].left

    following_run(following, story)
    assert read_tallies(tmp_path, "t1")[0].left, "it ended in order and did not die"


def test_a_shadow_is_asked_the_same_and_answers_nobody(following, made, tmp_path):
    async def story():
        shadow = Tried(release=made.second, trial="s1")
        write_pointer(tmp_path, Pointer(live=made.first, generation=2, shadow=shadow))
        await until(lambda: held(tmp_path, made.second))
        assert set(chosen(following).values()) == {made.first}
        for customer in range(3):
            release = following.live
            following.told(release, body(customer), release.decide(release.decoder.decode(body(customer)).rows), "x")
        await until(lambda: [one.shadow.asked for one in read_tallies(tmp_path, "s1")] == [3])
        (tally,) = read_tallies(tmp_path, "s1")
        assert tally.shadow.failed == 0
        assert tally.shadow.gap > 0

    following_run(following, story)


def test_a_shadow_that_is_too_slow_misses_requests_and_holds_up_nobody(made):
    class Slow:
        release = "slow"

        def __init__(self, honest):
            self.decoder = honest.decoder

        def decide(self, rows):
            time.sleep(0.05)
            return Decided([{"prediction": 1.0} for _ in rows], {})

    from mlops.serving.runtime import Decided, load_release

    shadow = Shadow(Slow(load_release(made.releases, made.plain, None)))
    started = time.monotonic()
    for _ in range(400):
        shadow.offer(b'{"amount": 1.0}', [{"prediction": 1.0}])
    assert time.monotonic() - started < 0.5
    assert shadow.compared.missed > 100
    shadow.stop()


def test_keys_draw_their_lots_evenly_and_for_each_release_anew():
    lots = [lot("v2", str(key)) for key in range(2_000)]
    assert sum(one < 0.1 for one in lots) == pytest.approx(200, abs=45)
    again = [lot("v3", str(key)) for key in range(2_000)]
    both = sum(one < 0.1 and other < 0.1 for one, other in zip(lots, again, strict=True))
    assert both < 45, "another release tries other customers"
