"""The gate before a worker's app: it begins and closes when it is told."""

from __future__ import annotations

import asyncio

from mlops.serving.worker import Gate

HTTP = {"type": "http"}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b""})


def started(*, wanted):
    async def go():
        said, gate = [], Gate(app)

        async def send(message):
            said.append(message["type"])

        task = asyncio.create_task(gate({"type": "lifespan"}, None, send))
        await asyncio.sleep(0)
        before = list(said)
        gate.decide(wanted=wanted)
        await task
        return before, said

    return asyncio.run(go())


def test_it_has_started_up_only_when_it_is_wanted():
    assert started(wanted=True) == ([], ["lifespan.startup.complete"])


def test_one_that_is_not_wanted_any_more_does_not_begin():
    assert started(wanted=False) == ([], ["lifespan.startup.failed"])


def test_while_it_is_closing_a_connection_ends_with_its_answer():
    async def answered(*, closing):
        said, gate = [], Gate(app)
        gate.closing = closing

        async def send(message):
            said.append(message)

        await gate(HTTP, None, send)
        return said[0]["headers"]

    assert asyncio.run(answered(closing=False)) == [(b"a", b"b")]
    assert asyncio.run(answered(closing=True)) == [(b"a", b"b"), (b"connection", b"close")]
