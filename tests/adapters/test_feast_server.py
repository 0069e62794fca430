"""The client of Feast's feature server, against servers that misbehave; a real one is in `feast_home.py`."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlops.adapters.feast_server import FeatureServer
from mlops.errors import OutsideError


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked(address: str, seconds: float = 5.0) -> list:
    return FeatureServer(address, seconds).read("spend_v1", "customer", ["mean"], [1, 2])


def test_rows_and_their_times_are_read_to_the_microsecond():
    vector = {"values": [1.5, None], "event_timestamps": ["2024-03-30T22:00:00.000001Z", "1970-01-01T00:00:00Z"]}
    keys = {"values": [1, 2], "event_timestamps": ["1970-01-01T00:00:00Z"] * 2}
    body = {"metadata": {"feature_names": ["customer", "mean"]}, "results": [keys, vector]}
    with answering(200, json.dumps(body)) as address:
        assert asked(address) == [(1_711_836_000_000_001, {"mean": 1.5}), None]


def test_a_server_that_does_not_answer_in_time_is_named_with_the_limit():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(OutsideError, match=r"did not answer within 0.2 seconds: http://127.0.0.1"):
            asked(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.2)


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(OutsideError, match=f"cannot be reached: http://127.0.0.1:{port}"):
        asked(f"http://127.0.0.1:{port}/")


def test_a_refusal_is_told_with_what_was_asked_and_what_was_said():
    with (
        answering(422, '{"detail": "no such view"}') as address,
        pytest.raises(OutsideError, match=r"answered 422 for spend_v1:mean: .*no such view"),
    ):
        asked(address)


@pytest.mark.parametrize("body", ["[]", "{}", '{"metadata": {"feature_names": ["other"]}, "results": [1]}', "<html>"])
def test_an_answer_in_another_form_is_an_error_and_no_missing_value(body):
    with (
        answering(200, body) as address,
        pytest.raises(OutsideError, match=r"form that is not Feast's|not answer JSON"),
    ):
        asked(address)
