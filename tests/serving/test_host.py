from __future__ import annotations

import asyncio
import json
import shutil
import time

import pytest

from mlops.errors import DeploymentFailed
from mlops.release import PAYLOAD
from mlops.serving.host import FollowingHost, Host, host
from mlops.serving.pointer import Pointer, read_acks, write_pointer


@pytest.fixture
def following(made, tmp_path):
    write_pointer(tmp_path, Pointer(live=made.first, generation=1))
    return FollowingHost(tmp_path, made.releases, made.online)


def following_run(following, story):
    async def run():
        following.load()
        following.watch()
        try:
            await story()
        finally:
            await following.stop()

    asyncio.run(run())


async def until(true, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)


def test_the_variables_choose_the_host(made, tmp_path):
    assert isinstance(host({"MLOPS_POINTER": "p", "MLOPS_RELEASES": "r"}, tmp_path), FollowingHost)
    alone = host({"MLOPS_RELEASE": str(made.releases / made.plain / PAYLOAD)}, tmp_path)
    alone.load()
    assert alone.live.release == made.plain


def test_a_bento_alone_in_a_container_names_its_model(made, tmp_path):
    source = shutil.copytree(made.releases / made.plain / PAYLOAD, tmp_path / "bento" / "src" / "release")
    alone = Host(source, None)
    alone.load()
    assert alone.live.release == "plain_v1"


def test_a_bento_alone_is_told_the_name_of_its_release(made, tmp_path):
    source = shutil.copytree(made.releases / made.plain / PAYLOAD, tmp_path / "release")
    alone = host({"MLOPS_RELEASE_NAME": made.plain}, tmp_path)
    assert source.exists()
    alone.load()
    assert alone.live.release == made.plain


def test_a_worker_says_what_it_serves(following, made, tmp_path):
    async def story():
        (ack,) = read_acks(tmp_path)
        assert (ack.serving, ack.generation, ack.ok) == (made.first, 1, True)

    following_run(following, story)
    assert read_acks(tmp_path) == ()


def test_a_worker_that_begins_while_the_pointer_moves_begins_with_what_it_names_then(following, made, tmp_path):
    """Promise 9: nobody waits for a worker that has not said what it serves; so it must not begin with the old one."""
    honest, moves = following._have, iter([Pointer(live=made.second, previous=made.first, generation=2)])

    def have(release):
        loaded = honest(release)
        for moved in moves:
            write_pointer(tmp_path, moved)
        return loaded

    following._have = have
    following.load()
    assert following.live.release == made.second
    assert [(ack.serving, ack.generation) for ack in read_acks(tmp_path)] == [(made.second, 2)]
    asyncio.run(following.stop())


def test_the_pointer_is_followed_and_the_old_release_stays_warm(following, made, tmp_path):
    async def story():
        old = following.live
        write_pointer(tmp_path, Pointer(live=made.second, previous=made.first, generation=2))
        await until(lambda: following.live.release == made.second)
        await until(lambda: any(a.warm == (made.first,) and a.generation == 2 for a in read_acks(tmp_path)))
        write_pointer(tmp_path, Pointer(live=made.first, generation=3))
        await until(lambda: following.live is old)

    following_run(following, story)


def test_the_previous_release_is_warm_from_the_start(made, tmp_path):
    write_pointer(tmp_path, Pointer(live=made.second, previous=made.first, generation=5))
    following = FollowingHost(tmp_path, made.releases, made.online)

    async def story():
        await until(lambda: any(a.warm == (made.first,) for a in read_acks(tmp_path)))

    following_run(following, story)


def test_a_release_that_fails_its_self_check_never_serves(made, tmp_path):
    """Promise 9."""
    releases = shutil.copytree(made.releases, tmp_path / "releases")
    golden = releases / made.second / PAYLOAD / "golden.json"
    golden.write_text(golden.read_text().replace("0.", "0.9"))
    place = tmp_path / "env"
    write_pointer(place, Pointer(live=made.first, generation=1))
    following = FollowingHost(place, releases, made.online)

    async def story():
        write_pointer(place, Pointer(live=made.second, previous=made.first, generation=2))
        await until(lambda: any(a.generation == 2 for a in read_acks(place)))
        (ack,) = read_acks(place)
        assert not ack.ok
        assert "golden.json was changed" in ack.error
        assert ack.serving == following.live.release == made.first

    following_run(following, story)


def test_an_unreadable_pointer_does_not_deafen_the_worker(following, made, tmp_path):
    async def story():
        (tmp_path / "pointer.json").write_text(json.dumps({"live": 3}))
        await asyncio.sleep(0.2)
        write_pointer(tmp_path, Pointer(live=made.second, generation=2))
        await until(lambda: following.live.release == made.second)

    following_run(following, story)


def test_a_host_without_a_live_release_does_not_start(made, tmp_path):
    with pytest.raises(DeploymentFailed):
        FollowingHost(tmp_path, made.releases, None).load()
