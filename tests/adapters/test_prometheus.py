"""What a service counts, read over HTTP as it writes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlops.adapters.prometheus import labels_of, scrape
from mlops.errors import OutsideError
from mlops.serving.metrics import Metrics


@contextmanager
def answering(body: bytes, status: int = 200, token: str = "") -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = not token or self.headers.get("Authorization") == f"Bearer {token}"
            self.send_response(status if allowed else 401)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_counts_of_our_own_service_are_read_back():
    metrics = Metrics()
    for status, seconds in ((200, 0.002), (200, 0.3), (422, 0.001)):
        metrics.count("churn_v1-1", status, 1, seconds)
    with answering(metrics.text()) as address:
        counts = scrape(address)
    requests = {
        labels["status"]: value for key, value in counts.items() if (labels := labels_of(key, "mlops_requests_total"))
    }
    assert requests == {"200": 2.0, "422": 1.0}
    within = {
        labels["le"]: value
        for key, value in counts.items()
        if (labels := labels_of(key, "mlops_request_seconds_bucket"))
    }
    assert (within["0.25"], within["+Inf"]) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("body", "status", "token", "words"),
    [
        (b"", 503, "", "answers 503"),
        (b"<html>", 200, "", "is no Prometheus text"),
        (b"", 200, "secret", "answers 401"),
    ],
)
def test_what_is_not_readable_says_why_and_what_to_do(body, status, token, words):
    with answering(body, status, token) as address, pytest.raises(OutsideError, match=words) as raised:
        scrape(address)
    assert raised.value.next_step


def test_the_token_of_an_environment_is_borne():
    with answering(b"# HELP a b\na 1\n", token="secret") as address:
        assert scrape(address, token="secret") == {"a{}": 1.0}
