"""A load from bare sockets, in a process of its own: `python -m mlops.adapters.generator`, told by JSON on stdin.

The plan names `connections` and `turns`, each with `host`, `port`, `seconds` and `requests`: whole HTTP/1.1 requests,
one after the other on every kept connection, each as soon as the one before is answered. Every turn is told in one
line of JSON: answers by status (0: none), seconds, and each request's milliseconds.

A process of its own, because what measures must not wait for the interpreter that trains a model beside it. Bare
sockets, because a client that costs as much as the server is itself what is measured.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

NO_ANSWER = 0
"""The status of a request that got no answer: refused, reset or timed out."""

PATIENCE = 30.0
"""Seconds that one answer may take."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSED = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_LOOK_EVERY = 0.5
_AGAIN = 0.01  # seconds before a server that refuses connections is asked again
_READ = 1 << 16


class _Client:
    """One connection: what it waits for, and since when."""

    def __init__(self, number: int) -> None:
        self.number = number  # of the request that is next
        self.socket: socket.socket | None = None
        self.got = b""
        self.sent = 0.0


class Turn:
    """One while of load on one server."""

    def __init__(self, address: tuple[str, int], requests: Sequence[bytes], connections: int) -> None:
        self._address, self._requests, self._step = address, requests, connections
        self._clients = [_Client(number) for number in range(connections)]
        self._waiting: set[_Client] = set()
        self._selector = selectors.DefaultSelector()
        self.statuses: Counter[int] = Counter()
        self.milliseconds: list[float] = []

    def last(self, seconds: float) -> dict[str, object]:
        """What came back to all that was sent within `seconds`; what is under way at the end is waited for."""
        clock = time.perf_counter
        started = clock()
        until = started + seconds
        for client in self._clients:
            self._send(client)
        while self._waiting or clock() < until:
            for key, _ in self._selector.select(_LOOK_EVERY) if self._waiting else ():
                if self._answered(key.data) and clock() < until:
                    self._send(key.data)
            for client in [one for one in self._waiting if clock() - one.sent > PATIENCE]:
                self._lost(client)
            if clock() < until:
                for client in self._clients:
                    if client not in self._waiting:  # it was hung up on: it comes again
                        time.sleep(_AGAIN)
                        self._send(client)
        for client in self._clients:
            self._close(client)
        self._selector.close()
        spent = clock() - started
        return {"statuses": dict(self.statuses), "seconds": spent, "milliseconds": self.milliseconds}

    def _send(self, client: _Client) -> None:
        request = self._requests[client.number % len(self._requests)]
        client.number += self._step
        self._waiting.add(client)
        client.got, client.sent = b"", time.perf_counter()
        try:
            if client.socket is None:
                client.socket = socket.create_connection(self._address, timeout=PATIENCE)
                client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._selector.register(client.socket, selectors.EVENT_READ, client)
            client.socket.sendall(request)
        except OSError:
            self._lost(client)

    def _answered(self, client: _Client) -> bool:
        """Whether the request is over, with an answer; one that is hung up on in its midst is lost."""
        try:
            got = client.socket.recv(_READ) if client.socket else b""
        except OSError:
            got = b""
        client.got += got
        whole = is_whole(client.got, ended=not got)
        if not whole:
            if not got:
                self._lost(client)
            return False
        self._tell(client, int(client.got[9:12]))
        if not got or _CLOSED.search(client.got.partition(b"\r\n\r\n")[0]):
            self._close(client)
        return True

    def _lost(self, client: _Client) -> None:
        self._tell(client, NO_ANSWER)
        self._close(client)

    def _tell(self, client: _Client, status: int) -> None:
        self._waiting.discard(client)
        self.statuses[status] += 1
        self.milliseconds.append((time.perf_counter() - client.sent) * 1000)

    def _close(self, client: _Client) -> None:
        if client.socket is not None:
            with suppress(KeyError):
                self._selector.unregister(client.socket)
            client.socket.close()
            client.socket = None


def is_whole(answer: bytes, *, ended: bool) -> bool:
    """Whether these bytes are one whole HTTP/1.1 answer; `ended` tells that no more will come."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end or not head[9:12].isdigit():
        return False
    length = _LENGTH.search(head)
    if length is not None:
        return len(body) >= int(length[1])
    return body.endswith(b"0\r\n\r\n") if _CHUNKED.search(head) else ended


def main() -> None:
    """Read the plan, and tell each turn as it ends."""
    plan = json.load(sys.stdin)
    for turn in plan["turns"]:
        requests = [one.encode("latin-1") for one in turn["requests"]]
        done = Turn((turn["host"], turn["port"]), requests, plan["connections"]).last(turn["seconds"])
        sys.stdout.write(f"{json.dumps(done)}\n")


if __name__ == "__main__":
    main()
