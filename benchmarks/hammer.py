"""A load generator that costs less than what it measures: `python -m benchmarks.hammer HOST PORT FILE N SECONDS`.

FILE holds one whole HTTP request. It is sent over and over on N kept connections, each as fast as it is answered, by
bare sockets; the last line is JSON: answers by status, seconds, and milliseconds at the quantiles.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections import Counter
from pathlib import Path

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def hammer(host: str, port: int, request: bytes, connections: int, seconds: float) -> dict[str, object]:
    """What came back within `seconds`."""
    statuses: Counter[int] = Counter()
    took: list[float] = []
    clock = time.perf_counter
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            one = socket.create_connection((host, port))
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(one, selectors.EVENT_READ, [b"", clock()])
            one.sendall(request)
        started = clock()
        while clock() - started < seconds:
            for key, _ in selector.select(1.0):
                state = key.data
                got = key.fileobj.recv(65536)
                if not got:
                    raise ConnectionError(f"{host}:{port} hung up after {sum(statuses.values())} answers")
                state[0] += got
                if _whole(state[0]):
                    now = clock()
                    took.append(now - state[1])
                    statuses[int(state[0][9:12])] += 1
                    state[:] = [b"", now]
                    key.fileobj.sendall(request)
        spent = clock() - started
        for key in list(selector.get_map().values()):
            key.fileobj.close()
    took.sort()
    p50, p99 = (1000 * took[int(share * (len(took) - 1))] if took else float("nan") for share in (0.5, 0.99))
    return {"statuses": dict(statuses), "seconds": spent, "p50": p50, "p99": p99}


def _whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = _LENGTH.search(head)
    if length is None:
        raise ValueError(f"an answer without a length: {head!r}")
    return len(body) >= int(length[1])


if __name__ == "__main__":
    host, port, file, connections, seconds = sys.argv[1:]
    print(json.dumps(hammer(host, int(port), Path(file).read_bytes(), int(connections), float(seconds))))
