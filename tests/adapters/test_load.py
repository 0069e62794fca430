from __future__ import annotations

import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlops.adapters.bentoserver import free_port
from mlops.adapters.load import Load, ask, drive


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
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
    done = drive(url, [b"a", b"bad"], connections=2, seconds=0.2)
    assert done.requests == len(done.milliseconds) > 2
    assert done.failed == done.statuses[500] > 0
    assert done.qps > 0


def test_a_server_that_is_not_there_is_no_answer_and_no_exception():
    url = f"http://127.0.0.1:{free_port()}/"
    assert ask(url, [b"a"])[0].status == 0
    assert drive(url, [b"a"], connections=1, seconds=0.05).qps == 0


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)])
def test_quantiles_are_nearest_ranks(share, expected):
    load = Load(statuses={200: 100}, seconds=1.0, milliseconds=tuple(float(i) for i in range(1, 101)))
    assert load.quantile(share) == expected


def test_a_quantile_of_nothing_is_not_a_number():
    assert math.isnan(Load(statuses={}, seconds=1.0, milliseconds=()).quantile(0.5))
