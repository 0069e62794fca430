"""Requests at a steady rate, half over kept connections and half each over a new one, whatever happens."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter

import aiohttp

BODY = b'{"customer_id": 1, "amount": 20.0}'


def one_customer(_):
    return BODY


def any_amount(number):
    """An amount to the cent."""
    return b'{"amount": %.2f}' % random.Random(number).uniform(0, 100)


class Steady:
    """`answers` counts the answers by release; `failures` holds status and answer, or the error, of all others.

    `failed` holds the same with each request's number before it.
    """

    def __init__(self, url, rate=200, body=one_customer):
        self.url, self.rate, self.body = f"{url}/predict", rate, body
        self.answers = Counter()
        self.failed = []
        self.milliseconds = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    @property
    def failures(self):
        return [failure for _, failure in self.failed]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    async def _run(self):
        kept = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8))
        new = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        async with kept, new:
            tasks, started, number = [], time.perf_counter(), 0
            while not self.stopping.is_set():
                tasks.append(asyncio.create_task(self._one(new if number % 2 else kept, number)))
                number += 1
                await asyncio.sleep(max(0.0, started + number / self.rate - time.perf_counter()))
            await asyncio.gather(*tasks)

    async def _one(self, session, number):
        sent = time.perf_counter()
        try:
            async with session.post(self.url, data=self.body(number)) as response:
                answer = await response.json()
                if response.status == 200:
                    self.answers[answer["release"]] += 1
                else:
                    self.failed.append((number, (response.status, answer)))
        except Exception as error:  # noqa: BLE001  # whatever it is, the request has failed
            self.failed.append((number, repr(error)))
        self.milliseconds.append((time.perf_counter() - sent) * 1000)
