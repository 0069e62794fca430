"""What is live is looked at: on a small table that is made worse on purpose, and on one that nature made worse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from mlops import champion
from mlops.actions.wish import Wish
from mlops.adapters.ledger import Ledger
from mlops.adapters.service import may_bear_a_token
from mlops.running import run
from mlops.serving.decisions import FOLDER, DecisionLog, Settings
from mlops.serving.metrics import Metrics
from mlops.serving.pointer import Ack, Pointer, being_a_worker, read_pointer, write_ack
from mlops.serving.runtime import load_release
from mlops.steps.monitor import health, wanted
from mlops.steps.report import shown
from mlops.targets.servers import Server, announced
from mlops.verdict import Finding, Outcome, Report
from tests import small

ROWS = 2_500
BIKES = Path(__file__).parents[2] / "../shared/data/bike_sharing/bike.csv"


def look(root: Path, environment: str = "staging") -> Report:
    """`mlops monitor` inside this process."""
    wish = Wish(command="monitor", until="monitor", environments=(environment,), families=family_of(root))
    report, errors = run(small.opened(root), wish, small.Watch())
    assert errors == ()
    return report


def family_of(root: Path) -> tuple[str, ...]:
    return tuple(p.name for p in (root / ".mlops/environments/staging").iterdir() if (p / "pointer.json").exists())


def found(report: Report, check: str) -> list[Finding]:
    return [f for verdict in report.verdicts for f in verdict.findings if f.check == f"monitor.{check}"]


def outcome(report: Report, check: str) -> Outcome:
    return found(report, check)[0].outcome


def later(rows: int = 3_000) -> pd.DataFrame:
    """Customers who came after those of the release, and are like them."""
    return small.customers(rows, seed=8)


def arrive(root: Path, new: pd.DataFrame) -> None:
    pd.concat([small.customers(ROWS), new]).to_csv(root / "customers.csv", index=False)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of a table that is large enough to show drift. Leave it as it is: `shop` is a copy."""
    root = small.churn(tmp_path_factory.mktemp("grown") / "shop")
    small.customers(ROWS).to_csv(root / "customers.csv", index=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        ran = small.go(root)
        assert ran.report.deployed, str(ran)
    return root


@pytest.fixture
def shop(grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(grown, tmp_path / "shop")
    return tmp_path / "shop"


# -- a small table --------------------------------------------------------------------------------------------------


def test_new_rows_that_are_like_the_old_ones_ask_for_nothing(shop):
    arrive(shop, later())
    report = look(shop)
    assert report.outcome is Outcome.PASS, [f.message for v in report.verdicts for f in v.fired]
    assert wanted(report) == ()
    performance = found(report, "performance")[0]
    assert performance.n == 3_000
    assert "when churn_v1-" in performance.message
    assert outcome(report, "drift") is Outcome.PASS


def test_labels_that_say_otherwise_ask_for_a_retrain_without_stopping(shop):
    new = later()
    arrive(shop, new.assign(left=1 - new["left"]))
    report = look(shop)
    [wish] = wanted(report)
    assert (wish.family, wish.environment) == ("churn", "staging")
    assert "worse by more than the margin" in wish.reason
    assert outcome(report, "floor") is Outcome.FAIL  # and below its floor, which stops
    assert report.outcome is Outcome.FAIL


def test_a_shift_that_labels_bear_out_is_told_and_asks_for_nothing(shop):
    new = later()
    arrive(shop, new.assign(visits=new["visits"].clip(4)))  # which the label never depended on
    report = look(shop)
    assert wanted(report) == ()
    [moved] = found(report, "drift")
    assert moved.subject == "visits"
    assert "bears it" in moved.message


def test_without_labels_a_shift_asks_for_a_retrain_and_the_missing_labels_are_no_pass(shop):
    """PROMISES 2."""
    labels = "left: {dtype: int64, nullable: false, checks: {isin: [0, 1]}}"
    small.edit(
        shop / "features/customers.schema.yaml", labels, "left: {nullable: true}\nmetadata: {missing: {left: 0.5}}"
    )
    new = later()
    arrive(shop, new.assign(visits=new["visits"].clip(4), left=np.nan))
    report = look(shop)
    assert report.outcome is Outcome.INSUFFICIENT, [f.message for v in report.verdicts for f in v.fired]
    assert "no label of new rows of customers has arrived" in found(report, "performance")[0].message
    [wish] = wanted(report)
    assert wish.reason.startswith("since the training moved visits by")


def test_what_a_service_was_asked_is_looked_at_before_the_source(shop):
    new = later(2_000)
    arrive(shop, new)
    answered(shop, new.assign(amount=new["amount"] * 1.6))
    report = look(shop)
    [moved] = found(report, "drift")
    assert (moved.subject, moved.outcome) == ("amount", Outcome.FAIL)
    assert "mlops retrain churn" in moved.next_step  # the source's labels speak for other rows
    assert outcome(report, "performance") is Outcome.PASS
    [wish] = wanted(report)
    assert "moved amount by" in wish.reason


def test_outcomes_of_a_service_s_own_answers_judge_it(shop):
    settings = '[tool.mlops.sources.came]\npath = "came.csv"\n\n[tool.mlops.models.churn]\noutcomes = "came"\n'
    small.edit(shop / "pyproject.toml", "[tool.mlops.models.churn]\n", settings)
    new = later(2_000)
    answered(shop, new)
    names = [f"r{at - at % 500}" for at in range(len(new))]
    came = pd.DataFrame({"request_id": names, "row": np.arange(len(new)) % 500, "left": new["left"]})
    came.iloc[:1_800].to_csv(shop / "came.csv", index=False)
    report = look(shop)
    assert outcome(report, "performance") is Outcome.PASS, found(report, "performance")
    assert found(report, "performance")[0].n == 1_800  # the rest has not come
    assert "decisions of staging with outcomes" in found(report, "performance")[0].message
    assert wanted(report) == ()

    came.assign(left=1 - came["left"]).to_csv(shop / "came.csv", index=False)
    turned = look(shop)
    [wish] = wanted(turned)
    assert "worse by more than the margin" in wish.reason


def answered(root: Path, rows: pd.DataFrame) -> None:
    """A decision log in which the live release answered these rows, as its service writes it."""
    workspace = small.opened(root)
    place = workspace.environments / "staging" / "churn"
    pointer = read_pointer(place)
    assert pointer is not None
    release = load_release(workspace.releases, pointer.live, None)
    log = DecisionLog(Settings(folder=place / FOLDER))
    log.start()
    for at in range(0, len(rows), 500):
        asked = rows.iloc[at : at + 500][["amount", "visits", "city"]].to_dict("records")
        log.add(release, "live", f"r{at}", release.decide(release.decoder.convert(asked)))
        log.add(release, "shadow", f"s{at}", release.decide(release.decoder.convert(asked)))
    log.stop()


def test_a_broken_source_stops_and_is_not_taken_for_drift(shop):
    """Skew of the schema stops, skew of values retrains: two verdicts, two reactions."""
    arrive(shop, later().assign(amount=lambda frame: frame["amount"] * 3).rename(columns={"visits": "calls"}))
    report = look(shop)
    assert report.outcome is Outcome.FAIL
    assert wanted(report) == ()
    assert outcome(report, "drift") is Outcome.INSUFFICIENT
    assert "did not pass check-data" in found(report, "drift")[0].message


def test_no_new_row_is_insufficient_and_says_what_would_help(shop):
    report = look(shop)
    assert report.outcome is Outcome.INSUFFICIENT
    assert "has no row that churn_v1-" in found(report, "performance")[0].message
    assert found(report, "performance")[0].next_step == "wait for new rows"


def test_a_schedule_may_take_too_little_for_no_alarm_and_nothing_else(shop):
    asked = ("monitor", "staging", "--allow-insufficient")
    assert small.mlops(shop, "monitor", "staging").returncode == 7
    ended = small.mlops(shop, *asked)
    assert (ended.returncode, "verdict: INSUFFICIENT" in ended.stdout) == (0, True), ended.stdout + ended.stderr
    arrive(shop, later().assign(city="Atlantis").rename(columns={"visits": "visit"}))
    assert small.mlops(shop, *asked).returncode == 1


def test_a_release_whose_rows_are_on_another_machine_is_not_judged_by_guesses(shop):
    arrive(shop, later())
    release = next((shop / ".mlops/releases").glob("churn_v1-*/manifest.json"))
    digest = json.loads(release.read_text())["snapshot"]["customers"]
    small.opened(shop).objects.path(digest).unlink()
    report = look(shop)
    assert report.outcome is Outcome.INSUFFICIENT
    assert "are not on this machine" in found(report, "performance")[0].message


def test_the_command_says_what_is_wished_with_exit_code_0_and_in_json(shop):
    new = later()
    worse = np.where(np.random.default_rng(1).random(len(new)) < 0.35, 1 - new["left"], new["left"])
    arrive(shop, new.assign(left=worse))
    small.edit(shop / "pyproject.toml", "margin = 0.2", "margin = 0.05")
    small.edit(shop / "pyproject.toml", "floor = 0.6", "floor = 0.5")
    ended = small.mlops(shop, "monitor", "staging", "--json", "--report", "page.html")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    assert told["retrain"] is True
    assert told["wishes"][0]["family"] == "churn"
    assert "roc_auc" in (shop / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("production",), 3, "nothing has been deployed to production"),
        (("stagign",), 2, "did you mean 'staging'?"),
        (("staging", "--model", "chrun"), 2, "did you mean 'churn'?"),
    ],
)
def test_what_is_not_there_is_said(shop, arguments, code, words):
    ended = small.mlops(shop, "monitor", *arguments)
    assert (ended.returncode, words in ended.stderr) == (code, True), ended.stderr


def test_a_schedule_may_begin_before_the_first_deployment(shop, tmp_path):
    """It would be red each hour until somebody agrees to the first one; what nobody configured is an error as ever."""
    summary, out = tmp_path / "summary", tmp_path / "output"
    job = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(out)}
    ended = small.mlops(shop, "monitor", "production", "--allow-insufficient", "--request-retrain", **job)
    assert (ended.returncode, ended.stdout.strip()) == (0, "nothing has been deployed to production")
    assert "nothing has been deployed to production" in summary.read_text()
    assert "\nfalse\n" in out.read_text()
    assert small.mlops(shop, "monitor", "stagign", "--allow-insufficient").returncode == 2


def test_in_actions_the_wish_is_an_output_of_the_step(shop, tmp_path):
    arrive(shop, later().assign(left=lambda frame: 1 - frame["left"]))
    out = tmp_path / "output"
    ended = small.mlops(shop, "monitor", "staging", GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(out))
    assert ended.returncode == 1, ended.stderr
    assert "retrain<<" in out.read_text()
    assert "\ntrue\n" in out.read_text()
    assert "worse by more than the margin" in out.read_text()


# -- a service --------------------------------------------------------------------------------------------------------


def served(root: Path) -> Path:
    return root / ".mlops/environments/staging/churn"


def looked_at(root: Path) -> dict[str, Finding]:
    workspace = small.opened(root)
    pointer = read_pointer(served(root))
    assert pointer is not None
    record = health(workspace, environment="staging", live=champion.manifest(workspace, pointer.live))
    assert record.verdict is not None
    return {one.check.removeprefix("monitor."): one for one in record.verdict.findings}


def test_a_service_that_was_never_started_is_skipped_and_one_that_died_is_not(shop):
    """PROMISES 2: a service that is gone is no service that nobody wanted."""
    assert looked_at(shop)["ready"].outcome is Outcome.SKIPPED
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = Server(pid=ended.pid, host="127.0.0.1", port=1, workers=1)
    (served(shop) / "server.json").write_bytes(msgspec.json.encode(gone))
    assert looked_at(shop)["ready"].outcome is Outcome.FAIL


def test_requests_are_counted_from_the_last_look_on(shop):
    """What failed last week is not held against today."""
    pointer = read_pointer(served(shop))
    assert pointer is not None
    metrics = Metrics()
    for status, count in ((200, 900), (500, 100)):
        for _ in range(count):
            metrics.count(pointer.live, status, 1, 0.001)
    with being_served(served(shop), pointer, metrics):
        first = looked_at(shop)
        assert (first["workers"].outcome, first["errors"].outcome) == (Outcome.PASS, Outcome.FAIL)
        assert first["errors"].message == "100 of 1,000 requests failed"
        for _ in range(1_000):
            metrics.count(pointer.live, 200, 1, 0.001)
        second = looked_at(shop)
    assert second["errors"].outcome is Outcome.PASS
    assert second["errors"].message.startswith("0 of 1,000 requests failed since 20")


@contextmanager
def being_served(folder: Path, pointer: Pointer, metrics: Metrics) -> Iterator[None]:
    """This process as the environment's one worker: its lock, its word, its counts over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(metrics.text() if self.path == "/metrics" else b"{}")

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    me = Server(pid=os.getpid(), host="127.0.0.1", port=server.server_port, workers=1)
    try:
        with announced(folder, me), being_a_worker(folder):
            write_ack(folder, Ack(pid=os.getpid(), generation=pointer.generation, serving=pointer.live, ok=True))
            yield
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def elsewhere(root: Path, ready: bytes, status: int = 200, metrics: Metrics | None = None) -> Iterator[list[str]]:
    """A service on another machine, at the environment's `url`; gives what it was asked, and with which token."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(metrics.text() if metrics and self.path == "/metrics" else ready)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    reached_at(root, f"http://127.0.0.1:{server.server_port}/")
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()


def reached_at(root: Path, url: str) -> None:
    with (root / "pyproject.toml").open("a") as file:
        file.write(f'[tool.mlops.environments.staging]\nport = 3001\nurl = "{url}"\ntoken_env = "TOKEN"\n')


def live(root: Path) -> str:
    pointer = read_pointer(served(root))
    assert pointer is not None
    return pointer.live


def test_a_service_of_another_machine_is_asked_where_people_reach_it(shop, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret")
    metrics = Metrics()
    for status, count in ((200, 900), (500, 100)):
        for _ in range(count):
            metrics.count(live(shop), status, 1, 0.001)
    said = json.dumps({"ready": True, "release": live(shop)}).encode()
    with elsewhere(shop, said, metrics=metrics) as asked:
        found = looked_at(shop)
    assert asked == ["/readyz None", "/metrics Bearer s3cret"]
    assert (found["ready"].outcome, found["workers"].outcome) == (Outcome.PASS, Outcome.PASS)
    assert found["errors"].message == "100 of 1,000 requests failed"
    assert found["errors"].outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("said", "status", "check", "outcome", "words"),
    [
        ({"ready": False}, 503, "ready", Outcome.FAIL, "/readyz answers 503"),
        ({"ready": True, "release": "churn_v1-000000000000"}, 200, "workers", Outcome.FAIL, "live is churn_v1-"),
        ({"ready": True, "release": "fraud_v1-000000000000"}, 200, "ready", Outcome.SKIPPED, "where churn is served"),
        (["ready"], 200, "workers", Outcome.SKIPPED, "does not say which release"),
    ],
)
def test_what_it_answers_is_judged(shop, said, status, check, outcome, words):
    with elsewhere(shop, json.dumps(said).encode(), status):
        found = looked_at(shop)[check]
    assert found.outcome is outcome
    assert words in found.message


def test_a_service_that_nothing_reaches_is_a_failure_with_what_to_look_at(shop):
    with elsewhere(shop, b""):
        pass
    found = looked_at(shop)["ready"]
    assert found.outcome is Outcome.FAIL
    assert "/readyz does not answer (ConnectionError)" in found.message
    assert "this machine may reach it" in found.next_step


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://a.example", True),
        ("http://localhost:3000", True),
        ("http://[::1]:3000", True),
        ("http://a.example", False),
        ("http://10.0.0.7:3000", False),
        ("a.example", False),
    ],
)
def test_a_token_travels_by_tls_or_not_at_all(url, may):
    assert may_bear_a_token(url) is may


# -- what nature put into a real table ------------------------------------------------------------------------------

MODELS = """
from mlops import model
from sklearn.ensemble import HistGradientBoostingRegressor


@model(source="rides", label="cnt", timestamp="at", task="regression", metric="r2")
def rides_v1(X, y, params):
    return HistGradientBoostingRegressor(max_iter=60, random_state=0).fit(X, y)
"""
COLUMNS = ["hr", "workingday", "weekday", "weathersit", "temp", "hum", "windspeed"]
SCHEMA = "schema_type: dataframe\ncolumns:\n" + "".join(f"  {name}: {{}}\n" for name in [*COLUMNS, "at", "cnt"])


def rides() -> pd.DataFrame:
    table = pd.read_csv(BIKES)
    at = pd.to_datetime(table["dteday"]) + pd.to_timedelta(table["hr"], unit="h")
    return table[[*COLUMNS, "cnt"]].assign(at=at)


@pytest.fixture(scope="module")
def rented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the first half of 2011, live in staging."""
    if not BIKES.exists():
        pytest.skip("the real tables are not on this machine")
    settings = small.SETTINGS.replace('"shop"', '"rides"').replace("customers", "rides").replace("churn", "rides")
    settings = settings.replace('path = "rides.csv"', 'path = "rides.csv"\ntimestamps = { at = "" }')
    settings = settings.replace("margin = 0.2", "margin = 0.01\ndecline = 0.15")
    settings = settings.replace("floor = 0.6", "floor = 0.3")
    settings += '\n[tool.mlops.monitor]\nwindow = "90d"\n'
    root = small.write(
        tmp_path_factory.mktemp("rented"),
        {
            "pyproject.toml": settings,
            "bentofile.yaml": small.BENTO,
            "features/__init__.py": "",
            "features/rides.schema.yaml": SCHEMA,
            "models/__init__.py": "",
            "models/rides.py": MODELS,
        },
    )
    table = rides()
    table[table["at"] < "2011-07-01"].to_csv(root / "rides.csv", index=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        ran = small.go(root)
        assert ran.report.deployed, str(ran)
    return root


def until(root: Path, day: str) -> Report:
    table = rides()
    table[table["at"] < day].to_csv(root / "rides.csv", index=False)
    return look(root)


def test_a_season_asks_for_nothing_and_growth_asks_for_a_retrain(rented, monkeypatch):
    """Summer moves the temperature by two standard deviations and the model bears it; growth is what it cannot."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    summer = until(rented, "2011-10-01")
    assert wanted(summer) == ()
    temperature = next(f for f in found(summer, "drift") if f.subject == "temp")
    assert temperature.measured is not None
    assert float(temperature.measured) > 1.5
    assert outcome(summer, "performance") is Outcome.PASS

    winter = until(rented, "2013-01-01")
    [wish] = wanted(winter)
    assert "worse by more than the margin" in wish.reason
    [performance] = found(winter, "performance")
    assert float(performance.measured or 0) < -0.4  # R² falls from 0.9 to below 0.4
    drifted = {f.subject: f.measured for f in found(winter, "drift")}
    assert float(drifted["temp"] or 0) < 0.5 * float(temperature.measured)  # though the weather is nearly as it was

    assert_the_page_shows_it_over_time(rented, winter)
    assert_the_ledger_has_the_curve(rented)


def assert_the_page_shows_it_over_time(root: Path, report: Report) -> None:
    pictures = {one.title: one for one in shown(small.opened(root), report)["monitor:rides"]}
    metric: Any = pictures["r2 over time"]
    assert len(metric.series[0].x) == 6  # quarters
    assert metric.series[0].y[-1] < 0.45 < metric.series[0].y[0]
    moved: Any = pictures["How far columns moved over time"]
    assert moved.series[0].name == "temp"


def assert_the_ledger_has_the_curve(root: Path) -> None:
    ledger = Ledger(root / ".mlops", "rides")
    runs = ledger.client.search_runs([ledger.experiment], "tags.`mlops.step` = 'monitor'")
    curves = [ledger.client.get_metric_history(one.info.run_id, "r2") for one in runs]
    longest = sorted(max(curves, key=len), key=lambda point: point.step)
    assert len(longest) == 6
    ends = [pd.Timestamp(point.timestamp, unit="ms") for point in longest]
    assert ends == sorted(ends)
    assert ends[-1] == pd.Timestamp("2012-12-31 23:00")
