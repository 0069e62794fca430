from __future__ import annotations

import asyncio
import json
import time

import pytest

from mlops.release import PAYLOAD
from mlops.serving.app import Front, Limits
from mlops.serving.host import Host
from mlops.serving.malformed import malformed
from mlops.stores.exchange import publish
from mlops.stores.online import FILE
from tests.serving.releases import VIEW

OURS = ["/", "/predict", "/contract", "/metrics"]
GOOD = b'{"customer_id": 1, "amount": 12.5}'


@pytest.fixture(scope="module")
def host(made):
    host = Host(made.releases / made.first / PAYLOAD, made.online)
    host.load()
    return host


async def inner(scope, receive, send):
    body = (await receive())["body"] if scope["method"] == "POST" else b""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inner:" + body})


@pytest.fixture
def front(host):
    return Front(inner, host=host, limits=Limits(body_bytes=2000, body_seconds=0.2))


def call(front, method, path, body=b"", *, headers=(), parts=None, hang=False):
    """The status, headers and body of one request, its body in parts."""
    sent, waiting = [], list(parts if parts is not None else [body])

    async def receive():
        if not waiting:
            await asyncio.sleep(60)
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting) or hang}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "server": ("127.0.0.1", 3001)}
    asyncio.run(front(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(part.get("body", b"") for part in sent[1:])


def test_one_row_gives_one_answer_and_many_give_a_list(front, made):
    status, headers, body = call(front, "POST", "/predict", GOOD)
    answer = json.loads(body)
    assert (status, headers[b"content-type"]) == (200, b"application/json")
    assert answer.keys() == {"prediction", "probability", "release", "request_id"}
    assert answer["release"] == made.first
    answers = json.loads(call(front, "POST", "/predict", b"[" + GOOD + b"," + GOOD + b"]")[2])
    assert [one["probability"] for one in answers] == [answer["probability"]] * 2


def test_a_request_keeps_the_id_it_came_with(front):
    given = [(b"x-request-id", b"order-7")]
    assert json.loads(call(front, "POST", "/predict", GOOD, headers=given)[2])["request_id"] == "order-7"
    hostile = [(b"x-request-id", b'"><script>')]
    assert "script" not in json.loads(call(front, "POST", "/predict", GOOD, headers=hostile)[2])["request_id"]


def test_a_refusal_names_the_field(front):
    status, _, body = call(front, "POST", "/predict", b'{"customer_id": 1, "amount": NaN}')
    assert status == 422
    assert json.loads(body)["field"] == "amount"


def test_a_body_over_the_limit_is_refused_whether_declared_or_not(front):
    """Promise 18."""
    declared = [(b"content-length", b"999999999")]
    assert call(front, "POST", "/predict", GOOD, headers=declared)[0] == 413
    assert call(front, "POST", "/predict", b" " * 2001)[0] == 413
    assert call(front, "POST", "/predict", parts=[b" " * 1500] * 1000)[0] == 413
    assert call(front, "POST", "/v1/predict", b" " * 2001)[0] == 413


def test_a_body_in_parts_is_put_together(front):
    assert call(front, "POST", "/predict", parts=[GOOD[:5], GOOD[5:9], GOOD[9:]])[0] == 200


def test_a_body_that_does_not_come_is_given_up(front):
    assert call(front, "POST", "/predict", parts=[b"{"], hang=True)[0] == 408
    assert call(front, "POST", "/predict", parts=[])[0] == 408


def test_the_wrong_method_is_told_the_right_one(front):
    status, headers, _ = call(front, "GET", "/predict")
    assert (status, headers[b"allow"]) == (405, b"POST")
    assert call(front, "POST", "/contract")[0] == 405


def test_what_is_not_ours_is_passed_on_with_its_body(front):
    assert call(front, "POST", "/v1/predict", b"hello") == (200, {}, b"inner:hello")


@pytest.mark.parametrize("path", [*OURS, "/schema.json", "/docs.json", "/v1/predict", "/nowhere"])
def test_with_a_token_every_route_demands_it(host, path):
    """Promise 19."""
    guarded = Front(inner, host=host, token="secret")
    method, body = ("POST", GOOD) if "predict" in path else ("GET", b"")
    for wrong in ([], [(b"authorization", b"Bearer wrong")], [(b"authorization", b"secret")]):
        assert call(guarded, method, path, body, headers=wrong)[0] == 401
    assert call(guarded, method, path, body, headers=[(b"authorization", b"Bearer secret")])[0] == 200


def test_the_token_is_compared_in_constant_time(host, monkeypatch):
    """Promise 19: whole, by the function made for it, however early it differs."""
    compared = []

    def compare(given, wanted):
        compared.append((given, wanted))
        return given == wanted

    monkeypatch.setattr("mlops.serving.app.hmac.compare_digest", compare)
    guarded = Front(inner, host=host, token="secret")
    tried = [b"", b"x", b"Bearer secre", b"Bearer secret", b"Bearer secretive", b"bearer secret"]
    told = [call(guarded, "GET", "/contract", headers=[(b"authorization", one)])[0] for one in tried]
    assert told == [401, 401, 401, 200, 401, 401]
    assert compared == [(one, b"Bearer secret") for one in tried]


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_need_no_token(host, path):
    """Promise 19."""
    assert call(Front(inner, host=host, token="secret"), "GET", path)[0] == 200


def test_a_service_is_not_ready_before_its_release_has_answered(made):
    """Promise 9."""
    empty = Front(inner, host=Host(made.releases / made.first / PAYLOAD, None))
    assert call(empty, "GET", "/readyz")[0] == 503
    assert call(empty, "GET", "/livez")[0] == 200
    status, _, body = call(empty, "POST", "/predict", GOOD)
    assert status == 503
    assert b"Traceback" not in body


def test_a_fault_of_the_release_is_a_500_without_its_words(host, monkeypatch):
    def broken(*_):
        raise RuntimeError("secret path")

    monkeypatch.setattr(host.live, "decide", broken)
    status, _, body = call(Front(inner, host=host), "POST", "/predict", GOOD)
    assert status == 500
    assert b"secret" not in body
    assert b"Traceback" not in body


def test_the_page_shows_a_request_that_works(front, host):
    status, _, body = call(front, "GET", "/")
    assert status == 200
    assert b"curl -d" in body
    assert host.live.release.encode() in body


def test_metrics_count_requests_by_release_and_status(host):
    front = Front(inner, host=host)
    call(front, "POST", "/predict", GOOD)
    call(front, "POST", "/predict", b"[]")
    text = call(front, "GET", "/metrics")[2].decode()
    release = host.live.release
    assert f'mlops_requests_total{{release="{release}",status="200"}} 1.0' in text
    assert f'mlops_requests_total{{release="{release}",status="422"}} 1.0' in text


def test_every_malformed_request_is_refused(front, host):
    """Promise 17."""
    cases = malformed(host.live.contract, json.loads(GOOD), body_bytes=2000)
    assert len(cases) > 30
    for case in cases:
        status, _, body = call(front, "POST", "/predict", case.body)
        assert 400 <= status < 500, case.name
        assert json.loads(body)["error"]


def test_metrics_tell_what_was_found_missing_and_expired_by_view(made, tmp_path):
    online = tmp_path / FILE
    now = time.time()
    rows = [{"customer_id": 1, "at": now - 10, "mean_7d": 1.0}, {"customer_id": 2, "at": now - 99, "mean_7d": 2.0}]
    publish(online, VIEW, "customer_id", rows, 60.0, timestamp="at")
    host = Host(made.releases / made.first / PAYLOAD, online)
    host.load()
    front = Front(inner, host=host)
    asked = [{"customer_id": key, "amount": 12.5} for key in (1, 1, 2, 3, 4, 5)]
    assert call(front, "POST", "/predict", json.dumps(asked).encode())[0] == 200
    text = call(front, "GET", "/metrics")[2].decode()
    for outcome, count in (("hit", 2), ("missing", 3), ("expired", 1)):
        assert f'mlops_stored_reads_total{{outcome="{outcome}",view="{VIEW}"}} {count}.0' in text
