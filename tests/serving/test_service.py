"""The service under a real BentoML server, with a token."""

from __future__ import annotations

import http.client
import json
import socket

import bentoml
import pytest
from starlette.routing import Route

from mlops.adapters import bentoserver
from mlops.release import PAYLOAD
from mlops.serving.app import Front

TOKEN = {"Authorization": "Bearer secret"}
GOOD = b'{"customer_id": 1, "amount": 12.5}'
GETS = (
    "/",
    "/contract",
    "/metrics",
    "/healthz",
    "/schema.json",
    "/docs.json",
    "/static_content/swagger-ui.css",
    "/none",
)
ROUTES = [("POST", "/predict"), ("POST", "/v1/predict"), *(("GET", path) for path in GETS)]


@pytest.fixture(scope="module")
def port(made, tmp_path_factory):
    place = tmp_path_factory.mktemp("server")
    serving = bentoserver.Serving(
        target="mlops.serving.service:Service",
        port=bentoserver.free_port(),
        home=place / "home",
        variables={
            "MLOPS_RELEASE": str(made.releases / made.first / PAYLOAD),
            "MLOPS_ONLINE": str(made.online),
            "MLOPS_TOKEN": "secret",
        },
    )
    with bentoserver.running(serving, log=place / "log") as server:
        bentoserver.wait_ready(server, serving, seconds=60)
        yield serving.port


def call(port, method, path, body=None, headers=TOKEN):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_answers_what_curl_sends(port, made):
    status, body = call(port, "POST", "/predict", GOOD, {**TOKEN, "Content-Type": "application/x-www-form-urlencoded"})
    assert status == 200
    assert json.loads(body)["release"] == made.first


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_demands_the_token(port, method, path):
    """Promise 19."""
    body = GOOD if method == "POST" else None
    assert call(port, method, path, body, {})[0] == 401
    assert call(port, method, path, body)[0] != 401


def test_no_route_of_ours_or_of_bentoml_s_is_open(port):
    """Promise 19: all that BentoML's app routes and all that is described, by every method."""
    from mlops.serving.service import Service

    inner = bentoml_s_own(Service)
    routes = {route.path: route.methods if isinstance(route, Route) else {"GET"} for route in inner.routes}
    assert {"/livez", "/readyz", "/v1/predict", "/schema.json", "/"} <= set(routes)
    described = json.loads(call(port, "GET", "/docs.json")[1])["paths"]
    for path in {*routes, *described} - {"/livez", "/readyz"}:
        for method in {"GET", "POST", "PUT", "HEAD", *(routes.get(path) or ())}:
            assert call(port, method, path, None, {})[0] == 401, f"{method} {path}"
            assert call(port, method, path, None, {"Authorization": "Bearer secre"})[0] == 401


def bentoml_s_own(service):
    """The app of BentoML's class, without our front before it."""
    return bentoml.Service.to_asgi(service)


def test_the_front_stands_before_bentoml_s_middlewares():
    """They cost as much as an answer, and keep what they have seen for a minute."""
    from mlops.serving.service import Service

    assert isinstance(Service.to_asgi(), Front)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_need_no_token(port, path):
    """Promise 19."""
    assert call(port, "GET", path, None, {})[0] == 200


def test_bentoml_s_typed_endpoint_gives_the_same_answer(port):
    row = json.loads(GOOD)
    status, body = call(port, "POST", "/v1/predict", json.dumps({"rows": [row]}))
    assert status == 200
    lean = json.loads(call(port, "POST", "/predict", GOOD)[1])
    assert json.loads(body)[0]["probability"] == lean["probability"]


@pytest.mark.parametrize(
    "rows", ["[{}]", "[]", '[{"customer_id": 1, "amount": NaN}]', '[{"customer_id":1,"amount":"nan"}]']
)
def test_the_typed_endpoint_refuses_what_the_lean_one_does(port, rows):
    """Promise 17."""
    assert 400 <= call(port, "POST", "/v1/predict", f'{{"rows": {rows}}}')[0] < 500


def test_a_body_over_the_limit_is_refused_on_every_route(port):
    """Promise 18."""
    for path in ("/predict", "/v1/predict"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            head = (
                f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nContent-Length: 500000000\r\n\r\n"
            )
            connection.sendall(head.encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_half_open_requests_do_not_stop_the_others(port):
    """Promise 18, in small."""
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nContent-Length: 100\r\n\r\n{"
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    try:
        for connection in opened:
            connection.sendall(head)
        assert call(port, "POST", "/predict", GOOD)[0] == 200
    finally:
        for connection in opened:
            connection.close()
    assert call(port, "POST", "/predict", GOOD)[0] == 200
