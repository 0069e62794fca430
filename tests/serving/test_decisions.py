"""The decision log of a worker: beside the answering path, bounded in what it loses."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import signal
import threading
import time
from collections import Counter
from datetime import timedelta

import pytest

from mlops.adapters import bentoserver
from mlops.decisions import read
from mlops.release import PAYLOAD
from mlops.serving import decisions
from mlops.serving.decisions import DecisionLog, Settings, settings
from mlops.serving.pointer import Pointer, Tried, read_acks, write_pointer
from mlops.serving.runtime import Decided, load_release


@pytest.fixture
def plain(made):
    return load_release(made.releases, made.plain, None)


def decided(release, amount=1.0, rows=1):
    return release.decide(release.decoder.convert([{"amount": amount}] * rows))


def heard(log):
    counts = Counter()
    log.tell = lambda release, outcome, rows: counts.update({outcome: rows})
    return counts


def test_nobody_waits_for_a_disk_that_is_stuck_and_what_is_dropped_is_counted(plain, tmp_path, monkeypatch):
    stuck, one = threading.Event(), decided(plain)
    append = decisions.OpenSegment.append

    def slow(segment, batch):
        stuck.wait(30)
        append(segment, batch)

    monkeypatch.setattr(decisions.OpenSegment, "append", slow)
    monkeypatch.setattr(decisions, "_MOST_ROWS", 1000)
    log = DecisionLog(Settings(folder=tmp_path))
    counts = heard(log)
    log.start()
    log.add(plain, "live", "first", one)
    while log._waiting:
        time.sleep(0.01)
    started = time.monotonic()
    for n in range(3000):
        log.add(plain, "live", str(n), one)
    assert time.monotonic() - started < 5
    assert counts == {"dropped": 2000}
    stuck.set()
    log.stop()
    assert counts == {"dropped": 2000, "written": 1001}
    assert read(tmp_path)["request_id"].to_pylist() == ["first", *map(str, range(1000))]


def test_a_disk_that_fails_is_told_once_and_counted(plain, tmp_path, caplog):
    place = tmp_path / "file"
    place.write_text("no folder")
    log = DecisionLog(Settings(folder=place / "decisions"))
    counts = heard(log)
    with caplog.at_level(logging.ERROR, "mlops.serving"):
        log.start()
        for n in range(3):
            log.add(plain, "live", str(n), decided(plain))
            while log._waiting:
                time.sleep(0.01)
        log.stop()
    assert counts == {"dropped": 3}
    told = [one for one in caplog.records if "decisions are dropped" in one.getMessage()]
    assert len(told) == 1


def test_one_decision_that_cannot_be_written_takes_no_other_along(plain, tmp_path):
    log = DecisionLog(Settings(folder=tmp_path))
    counts = heard(log)
    odd = Decided([{"prediction": 1, "probability": "none"}], {"amount": [1.0]})
    log.add(plain, "live", "good", decided(plain))
    log.add(plain, "live", "odd", odd)
    log.add(plain, "live", "fine", decided(plain))
    log.start()
    log.stop()
    assert counts == {"written": 2, "dropped": 1}
    assert read(tmp_path)["request_id"].to_pylist() == ["good", "fine"]


def test_a_segment_is_closed_by_age_and_by_size(plain, tmp_path, monkeypatch):
    log = DecisionLog(Settings(folder=tmp_path, close=timedelta(seconds=0)))
    log.start()
    log.add(plain, "live", "a", decided(plain))
    until(lambda: len(list(tmp_path.glob("*.parquet"))) == 1)
    log.stop()
    monkeypatch.setattr(decisions, "_MOST_BYTES", 20_000)
    log = DecisionLog(Settings(folder=tmp_path))
    log.start()
    log.add(plain, "live", "b", decided(plain, rows=1000))
    until(lambda: len(list(tmp_path.glob("*.parquet"))) == 2)
    log.stop()
    assert read(tmp_path).num_rows == 1001


def test_the_variables_of_a_container_say_where_decisions_go_or_that_there_are_none():
    assert settings({}) is None
    assert settings({"MLOPS_DECISIONS": ""}) is None
    told = settings({"MLOPS_DECISIONS": "/data", "MLOPS_DECISIONS_KEEP": "90d", "MLOPS_DECISIONS_OMIT": "email,name"})
    assert (told.keep, told.omit, str(told.folder)) == (timedelta(days=90), {"email", "name"}, "/data")


def until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def serving(place, variables):
    return bentoserver.Serving(
        target="mlops.serving.service:Service",
        port=bentoserver.free_port(),
        home=place / "home",
        variables={"MLOPS_DECISIONS": str(place / "decisions"), **variables},
    )


def ask(port, name, connection=None, path="/predict", body=b'{"customer_id": 1, "amount": 12.5}'):
    one = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    one.request("POST", path, body, {"X-Request-Id": name, "Content-Type": "application/json"})
    answer = one.getresponse()
    return answer.status, answer.read()


def under_load(port, answered, stop):
    """Ask over one kept connection as fast as it goes; `answered` gets the id and the time of each answer."""
    connection, number = http.client.HTTPConnection("127.0.0.1", port, timeout=5), 0
    while not stop.is_set():
        name = f"{threading.get_ident()}-{number}"
        number += 1
        try:
            if ask(port, name, connection)[0] == 200:
                answered.append((name, time.monotonic()))
        except (OSError, http.client.HTTPException):
            connection.close()


def test_a_worker_killed_under_load_loses_at_most_its_last_second(made, tmp_path):
    """Issue 5, item 9: at most one second on SIGKILL, nothing torn or twice; the next worker closes the rest."""
    pointer = tmp_path / "fraud"
    write_pointer(pointer, Pointer(live=made.first, generation=1))
    at = serving(
        tmp_path,
        {"MLOPS_POINTER": str(pointer), "MLOPS_RELEASES": str(made.releases), "MLOPS_ONLINE": str(made.online)},
    )
    folder, kills = tmp_path / "decisions", []
    with bentoserver.running(at, log=tmp_path / "log") as server:
        bentoserver.wait_ready(server, at, seconds=60)
        answered, stop = [], threading.Event()
        threads = [threading.Thread(target=under_load, args=(at.port, answered, stop)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            time.sleep(2.0)
            (ack,) = read_acks(pointer)
            before = len(answered)
            os.kill(ack.pid, signal.SIGKILL)
            kills.append(time.monotonic())
            until(lambda before=before: len(answered) > before + 50)
        stop.set()
        for thread in threads:
            thread.join()
        until(lambda: len(list(folder.glob("*.arrow"))) <= 1, seconds=10)
        _, metrics = call_metrics(at.port)
    table = read(folder)
    names = Counter(table["request_id"].to_pylist())
    assert max(names.values()) == 1, "nothing is there twice"
    lost = [when for name, when in answered if name not in names]
    assert len(answered) > 300
    assert all(any(kill - 1.0 <= when <= kill + 0.1 for kill in kills) for when in lost), (lost, kills)
    assert not list(folder.glob("*.arrow")), "stopped in order, the last one closed its own"
    assert not list(folder.glob(".*"))
    written = re.search(rb'mlops_decisions_total\{outcome="written",release="[^"]+"\} (\S+)', metrics)
    assert 0.8 * table.num_rows < float(written[1]) <= table.num_rows, "what was written is counted"
    assert b'outcome="dropped"' not in metrics


def call_metrics(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_all_three_arms_and_the_typed_endpoint_are_logged(made, tmp_path):
    pointer = tmp_path / "fraud"
    canary = Tried(release=made.second, trial="t", share=0.5, until=time.time() + 600)
    shadow = Tried(release=made.second, trial="s")
    write_pointer(pointer, Pointer(live=made.first, generation=1, canary=canary, shadow=shadow))
    at = serving(
        tmp_path,
        {"MLOPS_POINTER": str(pointer), "MLOPS_RELEASES": str(made.releases), "MLOPS_ONLINE": str(made.online)},
    )
    with bentoserver.running(at, log=tmp_path / "log") as server:
        bentoserver.wait_ready(server, at, seconds=60)
        until(lambda: made.second in read_acks(pointer)[0].trying)
        for customer in range(20):
            ask(at.port, f"r{customer}", body=json.dumps({"customer_id": customer, "amount": 5.0}).encode())
        status, body = ask(at.port, "", path="/v1/predict", body=b'{"rows": [{"customer_id": 1, "amount": 5.0}]}')
        assert status == 200
        # The shadow is asked beside, and all is written beside: both a moment later.
        until(lambda: len(answered_by(tmp_path, "live") | answered_by(tmp_path, "canary")) == 21)
        until(lambda: answered_by(tmp_path, "shadow") == {f"r{n}" for n in range(20)} - answered_by(tmp_path, "canary"))
    kept = read(tmp_path / "decisions").to_pylist()
    arms = Counter((one["arm"], one["release"]) for one in kept)
    assert arms["canary", made.second] + arms["live", made.first] == 21
    assert arms["canary", made.second] > 3
    asked = {one["request_id"] for one in kept if one["arm"] == "shadow"}
    assert asked == {f"r{n}" for n in range(20)} - {one["request_id"] for one in kept if one["arm"] == "canary"}
    assert json.loads(body)[0]["request_id"] in {one["request_id"] for one in kept}


def answered_by(place, arm):
    """Whose requests an arm has answered, as far as that is written."""
    return {one["request_id"] for one in read(place / "decisions").to_pylist() if one["arm"] == arm}


def test_without_a_folder_nothing_is_logged_and_that_is_said(made, tmp_path):
    at = serving(tmp_path, {"MLOPS_RELEASE": str(made.releases / made.plain / PAYLOAD), "MLOPS_DECISIONS": ""})
    with bentoserver.running(at, log=tmp_path / "log") as server:
        bentoserver.wait_ready(server, at, seconds=60)
        assert ask(at.port, "r", body=b'{"amount": 1.0}')[0] == 200
    said = (tmp_path / "log").read_text()
    assert said.count("decisions are not logged: MLOPS_DECISIONS names no folder") == 1
