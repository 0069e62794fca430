from __future__ import annotations

import math
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlops.adapters.bentoserver import free_port
from mlops.adapters.generator import is_whole
from mlops.adapters.load import Asked, Load, ask, drive


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"hang up":
            self.close_connection = True
            return
        if body == b"slow":
            time.sleep(0.3)
        self.send_response(500 if body == b"bad" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_each_body_gets_its_answer(url):
    assert [(a.status, a.body) for a in ask(url, [b"a", b"bad"])] == [(200, b"a"), (500, b"bad")]


def test_a_load_counts_what_failed(url):
    [[done]] = drive([Asked(url, [b"a", b"bad"])], connections=2, seconds=0.2)
    assert done.requests == len(done.milliseconds) > 2
    assert done.failed == done.statuses[500] > 0
    assert done.qps > 0
    assert list(done.milliseconds) == sorted(done.milliseconds)


def test_two_servers_are_asked_in_turn_each_its_own(url):
    ours, theirs = drive([Asked(url, [b"a"]), Asked(url, [b"bad"])], connections=2, seconds=0.05, rounds=3)
    assert [len(ours), len(theirs)] == [3, 3]
    assert {status for one in ours for status in one.statuses} == {200}
    assert {status for one in theirs for status in one.statuses} == {500}


def test_an_answer_that_is_under_way_at_the_end_is_waited_for(url):
    """Else what is slow would be left out of what is counted."""
    [[done]] = drive([Asked(url, [b"slow"])], connections=2, seconds=0.05)
    assert done.statuses == {200: 2}
    assert done.milliseconds[0] > 250


def test_a_request_that_is_hung_up_on_is_not_answered_and_the_client_comes_again(url):
    [[done]] = drive([Asked(url, [b"a", b"hang up"])], connections=1, seconds=0.2)
    assert done.statuses[0] > 1
    assert done.statuses[200] > 1


def test_a_server_that_is_not_there_is_no_answer_and_no_exception():
    url = f"http://127.0.0.1:{free_port()}/"
    assert ask(url, [b"a"])[0].status == 0
    [[done]] = drive([Asked(url, [b"a"])], connections=1, seconds=0.05)
    assert done.qps == 0
    assert done.failed == done.requests > 0


@pytest.mark.parametrize(
    ("answer", "ended", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Le", False, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", False, False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", False, True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", False, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", False, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", False, True),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", False, False),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", True, True),
        (b"", True, False),
        (b"\x16\x03\x01 not HTTP at all\r\n\r\n", True, False),
    ],
)
def test_an_answer_is_whole_when_its_length_its_chunks_or_its_connection_say_so(answer, ended, whole):
    assert is_whole(answer, ended=ended) is whole


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)])
def test_quantiles_are_nearest_ranks(share, expected):
    load = Load(statuses={200: 100}, seconds=1.0, milliseconds=tuple(float(i) for i in range(1, 101)))
    assert load.quantile(share) == expected


def test_a_quantile_of_nothing_is_not_a_number():
    assert math.isnan(Load(statuses={}, seconds=1.0, milliseconds=()).quantile(0.5))
