"""What a hostile or careless caller can cost the service: a status, quickly, and nothing else."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import signal
import socket
import statistics
import time

import psutil
import pytest

from mlops.adapters import bentoserver
from mlops.release import PAYLOAD
from mlops.serving.app import Limits

GOOD = b'{"amount": 12.5}'
MIB = 2**20


@pytest.fixture(scope="module")
def server(made, tmp_path_factory):
    place = tmp_path_factory.mktemp("limits")
    serving = bentoserver.Serving(
        target="mlops.serving.service:Service",
        port=bentoserver.free_port(),
        home=place / "home",
        variables={"MLOPS_RELEASE": str(made.releases / made.plain / PAYLOAD)},
    )
    with bentoserver.running(serving, log=place / "log") as process:
        bentoserver.wait_ready(process, serving, seconds=60)
        for _ in range(20):
            post(serving.port, GOOD)
        yield process.pid, serving.port


@pytest.fixture
def port(server):
    return server[1]


def post(port, body, headers=None):
    """The status, the answer and the milliseconds it took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    started = time.perf_counter()
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read all
            connection.request("POST", "/predict", body, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read(), 1000 * (time.perf_counter() - started)
    finally:
        connection.close()


def memory(pid):
    """MiB of the server and its workers."""
    parent = psutil.Process(pid)
    return sum(process.memory_info().rss for process in [parent, *parent.children(recursive=True)]) / MIB


def cases():
    rows = b"[" + b",".join([GOOD] * 100_000) + b"]"
    assert len(rows) < Limits().body_bytes, "the rows must be what is too much, not the bytes"
    bomb = gzip.compress(b" " * (64 * MIB))
    return {
        "a body over the limit": (b" " * (Limits().body_bytes + 1), {}, 413),
        "100,000 rows": (rows, {}, 413),
        # Nothing is ever unpacked, so a bomb is what it is: a few bytes that are no JSON.
        "a gzip bomb": (bomb, {"Content-Encoding": "gzip"}, 415),
    }


@pytest.mark.parametrize("name", cases())
def test_too_much_is_refused_at_once_and_leaves_no_memory_behind(server, name):
    """Promise 18."""
    pid, port = server
    body, headers, expected = cases()[name]
    before = memory(pid)
    took = []
    for _ in range(5):
        status, answer, milliseconds = post(port, body, headers)
        assert status == expected, answer
        assert json.loads(answer)["error"]
        took.append(milliseconds)
    assert min(took) <= 100
    assert memory(pid) - before <= 50


def test_a_body_that_only_says_it_is_too_large_is_not_read(server):
    """Promise 18."""
    took = []
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server[1]), timeout=10) as connection:
            started = time.perf_counter()
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 500000000\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 413")
            took.append(time.perf_counter() - started)
    assert min(took) <= 0.1


def test_half_open_requests_do_not_slow_the_others(port):
    """Promise 18: 300 requests that never end, and the 99th of 100 others takes at most 250 ms."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
    try:
        for connection in opened:
            connection.sendall(head)
        answers = [post(port, GOOD) for _ in range(300)]
    finally:
        for connection in opened:
            connection.close()
    assert {status for status, _, _ in answers} == {200}
    assert statistics.quantiles([took for _, _, took in answers], n=100)[98] <= 250


def test_what_is_in_flight_is_answered_when_the_service_is_told_to_end(made, tmp_path):
    serving = bentoserver.Serving(
        target="mlops.serving.service:Service",
        port=bentoserver.free_port(),
        home=tmp_path / "home",
        variables={"MLOPS_RELEASE": str(made.releases / made.plain / PAYLOAD), "MLOPS_DRAIN_SECONDS": "3"},
    )
    with bentoserver.running(serving, log=tmp_path / "log") as process:
        bentoserver.wait_ready(process, serving, seconds=60)
        with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as flying:
            flying.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD[:5])
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            # Readiness goes first: whoever balances load looks elsewhere, and until it has, requests are answered.
            assert within(2.5, lambda: not bentoserver.ready(serving.host, serving.port))
            assert post(serving.port, GOOD)[0] == 200
            assert within(10, lambda: not answered(serving.port))
            flying.sendall(GOOD[5:])
            assert flying.recv(4096).startswith(b"HTTP/1.1 200")
        assert process.wait(10) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def within(seconds, holds):
    """Whether it holds before the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def answered(port):
    """Whether a new connection gets an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("POST", "/predict", GOOD)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
