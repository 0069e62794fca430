"""Feast as a home, with its SQLite and with real databases; `test_feast.py` runs this in Feast's own environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests
from feast import FeatureStore

from mlops.adapters.bentoserver import free_port
from mlops.adapters.feast import open_feast
from mlops.adapters.objects import ObjectStore
from mlops.closure import code_digest
from mlops.declare import FeatureView, Origin
from mlops.errors import ConfigError, DeclarationError, OutsideError, UsageError
from mlops.serving.runtime import load_release
from mlops.stores.embedded import EmbeddedStore
from mlops.stores.feast import FeastStore
from mlops.stores.protocol import EXPIRED, MISSING
from mlops.stores.reading import FEAST, Address, open_reader, published, write_address
from mlops.targets import chosen
from tests import small
from tests.serving import releases
from tests.stores import conformance, servers

EXAMPLES = 12
TODAY = pd.Timestamp.now("UTC").tz_localize(None).floor("s")  # a service reads as of now
NOW = TODAY.tz_localize("UTC").timestamp()
PROJECT = """
[project]
name = "shop"

[tool.mlops]
deepchecks = false

[tool.mlops.load]
seconds = 0.5
connections = 2
p99_ms = 5000
qps = 1

[tool.mlops.store]
home = "feast"
owner = "payments@example.org"

[tool.mlops.sources.payments]
path = "payments.parquet"

[tool.mlops.models.fraud]
floor = 0.6
margin = 0.2
"""
FEATURES = """
import pandas as pd
from mlops import feature_view, on_demand


@feature_view(source="payments", entity="customer_id", timestamp="event_time", ttl="30d")
def customer_spend_v1(payments: pd.DataFrame) -> pd.DataFrame:
    \"\"\"Mean amount of all earlier payments of a customer, this one included.\"\"\"
    rows = payments[["customer_id", "event_time", "amount"]].sort_values("event_time", kind="stable")
    mean = rows.groupby("customer_id")["amount"].expanding().mean().droplevel(0)
    return rows[["customer_id", "event_time"]].assign(mean=mean)


@on_demand(inputs=["amount", "customer_spend_v1.mean"])
def amount_over_mean_v1(amount: pd.Series, mean: pd.Series) -> pd.Series:
    \"\"\"How large a payment is beside what the customer pays otherwise.\"\"\"
    return amount / mean
"""
FEATURE_TESTS = """
import pandas as pd
from features.spend import amount_over_mean_v1, customer_spend_v1


def test_the_mean_is_of_the_customer_alone():
    at = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
    rows = pd.DataFrame({"customer_id": [1, 2, 1], "event_time": at, "amount": [1.0, 5.0, 3.0]})
    assert customer_spend_v1(rows)["mean"].tolist() == [1.0, 5.0, 2.0]


def test_the_ratio_is_one_for_what_is_usual():
    assert amount_over_mean_v1(pd.Series([2.0]), pd.Series([2.0])).tolist() == [1.0]
"""
MODEL = """
from features.spend import amount_over_mean_v1, customer_spend_v1
from mlops import model
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


@model(source="payments", label="is_fraud", timestamp="event_time", metric="roc_auc", request=["amount"],
       features=[customer_spend_v1, amount_over_mean_v1])
def fraud_v1(X, y, params):
    return make_pipeline(SimpleImputer(), LogisticRegression()).fit(X, y)
"""
SCHEMA = """
schema_type: dataframe
columns:
  customer_id: {dtype: int64, nullable: false}
  event_time: {dtype: "datetime64[us]", nullable: false, coerce: true}
  amount: {dtype: float64, nullable: false}
  is_fraud: {dtype: int64, nullable: false, checks: {isin: [0, 1]}}
strict: true
"""


def repository(folder: Path, online: dict[str, Any], offline: str = "duckdb") -> Path:
    """A Feast repository as a user would write it; gives its feature_store.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "feature_store.yaml"
    settings = {
        "project": "shop",
        "provider": "local",
        "registry": "registry.db",
        "offline_store": {"type": offline},
        "online_store": online,
        "entity_key_serialization_version": 3,
    }
    file.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    return file


class TakingTurns(FeastStore):
    """In the suite's cases `customer` is now a number, now text. In a Feast project it is one: the rest goes."""

    def publish(self, *arguments: Any, **moments: Any) -> int:
        try:
            return super().publish(*arguments, **moments)
        except DeclarationError as error:
            if "Feast knows one type for each entity" not in error.message:
                raise
            self.prune(())
            return super().publish(*arguments, **moments)


def opened(folder: Path, online: dict[str, Any], offline: str = "duckdb") -> FeastStore:
    file = repository(folder / "feature_repo", online, offline)
    return TakingTurns(folder / "features", ObjectStore(folder / "objects"), open_feast(file))


@contextmanager
def online_store(kind: str) -> Iterator[dict[str, Any]]:
    """The settings of an online store that runs as long as the block."""
    if kind == "redis":
        with servers.redis() as port:
            yield {"type": "redis", "connection_string": f"127.0.0.1:{port}"}
    elif kind == "postgres":
        with servers.postgresql() as (port, user):
            yield {
                "type": "postgres",
                "host": "127.0.0.1",
                "port": port,
                "database": "postgres",
                "user": user,
                "password": "none",
                "sslmode": "disable",
            }
    else:
        yield {"type": "sqlite", "path": "online.db"}


class TestSqlite(conformance.suite(examples=EXAMPLES)):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory):
        with online_store("sqlite") as online:
            yield opened(tmp_path_factory.mktemp("sqlite"), online)


class TestFileOffline(conformance.suite(examples=EXAMPLES)):
    """The offline store that drops rows, in Feast's own hands."""

    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory):
        with online_store("sqlite") as online:
            yield opened(tmp_path_factory.mktemp("file"), online, "file")


class TestRedis(conformance.suite(examples=EXAMPLES // 2)):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory):
        with online_store("redis") as online:
            yield opened(tmp_path_factory.mktemp("redis"), online)


class TestPostgres(conformance.suite(examples=EXAMPLES // 2)):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory):
        with online_store("postgres") as online:
            yield opened(tmp_path_factory.mktemp("postgres"), online)


def spend_view(ttl: timedelta | None = None) -> FeatureView:
    """The view that the releases of `tests/serving` read."""
    return FeatureView(
        function=lambda frame: frame,
        name=releases.VIEW,
        module="features.money",
        origin=Origin("features/money.py", 3),
        source="payments",
        entity="customer_id",
        timestamp="at",
        ttl=ttl,
    )


@contextmanager
def feature_server(file: Path) -> Iterator[str]:
    """The address of Feast's own server over a repository, as long as the block."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("feast")), "-c", str(file.parent), "serve", "-p", str(port)]
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen([*command, "--no-access-log"], stdout=output, stderr=output, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and server.poll() is None:
                try:
                    if requests.get(f"{address}/health", timeout=1).ok:
                        break
                except requests.RequestException:
                    time.sleep(0.1)
            else:
                output.seek(0)
                raise RuntimeError(output.read().decode())
            yield address
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


class TestReading:
    """A service reads by the SDK and from the feature server alike, and as it reads the embedded file."""

    @pytest.fixture(scope="class")
    @classmethod
    def places(cls, tmp_path_factory):
        folder = tmp_path_factory.mktemp("reading")
        store = opened(folder, {"type": "sqlite", "path": "online.db"})
        at = TODAY - pd.to_timedelta([1, 1, 4], unit="h")
        frame = pd.DataFrame(
            {"customer_id": [0, 1, 2], "at": at, "mean_7d": [0.0, 10.0, 20.0], "word": ["a", None, "ü"]}
        )
        view = spend_view(timedelta(hours=2))
        written = store.write(view, frame)
        store.publish(view, written, now=NOW)
        embedded = EmbeddedStore(folder / "embedded", store.objects)
        embedded.publish(view, written, now=NOW)
        with feature_server(store.feast.file) as server:
            for name, address in (("sdk", ""), ("server", server)):
                write_address(
                    folder / name / FEAST, Address(repository=str(store.feast.file), server=address, seconds=30)
                )
            yield {"embedded": embedded.online_file, "sdk": folder / "sdk" / FEAST, "server": folder / "server" / FEAST}

    @pytest.fixture
    def contract(self):
        agreed = releases.contract()
        return replace(agreed, stored=tuple(replace(s, ttl_seconds=7200.0) for s in agreed.stored))

    @pytest.mark.parametrize("how", ["sdk", "server"])
    def test_values_are_those_of_the_embedded_file(self, places, contract, how):
        reader, plain = open_reader(places[how], contract), open_reader(places["embedded"], contract)
        keys = [1, 0, 2, 7, 1, 2**63, None]
        found = reader.read(releases.VIEW, keys, NOW)
        assert [row.get("mean_7d") for row in found] == [10.0, 0.0, None, None, 10.0, None, None]
        expected = plain.read(releases.VIEW, keys, NOW)
        assert [row is EXPIRED for row in found] == [row is EXPIRED for row in expected]
        assert [row is MISSING for row in found] == [row is MISSING for row in expected]
        assert [row.get("mean_7d") for row in found] == [row.get("mean_7d") for row in expected]

    @pytest.mark.parametrize("how", ["sdk", "server"])
    def test_many_keys_are_answered_in_their_order(self, places, contract, how):
        keys = [number % 5 for number in range(2_500)]
        found = open_reader(places[how], contract).read(releases.VIEW, keys, NOW)
        assert [row.get("mean_7d") for row in found] == [{0: 0.0, 1: 10.0}.get(key) for key in keys]

    @pytest.mark.parametrize("how", ["sdk", "server"])
    def test_a_release_answers_as_over_the_embedded_file(self, places, contract, how, tmp_path):
        release = releases.make_release(tmp_path, contract)
        rows = [{"customer_id": key, "amount": 12.5} for key in (0, 1, 2, 9)]
        answers = {}
        for place in ("embedded", how):
            loaded = load_release(tmp_path, release, places[place])
            answers[place] = loaded.answer(loaded.decoder.convert(rows))
            loaded.close()
        assert answers[how] == answers["embedded"]

    @pytest.mark.parametrize("how", ["sdk", "server"])
    def test_a_view_that_feast_does_not_know_is_an_error_and_no_missing_value(self, places, contract, how):
        other = replace(contract, stored=tuple(replace(one, view="other_v1") for one in contract.stored))
        with pytest.raises(OutsideError, match="other_v1"):
            open_reader(places[how], other).read("other_v1", [1], NOW)

    def test_what_is_online_is_told_of_either_home(self, places):
        told = [[(one.view, one.entity, one.newest, one.rows) for one in published(places[how])] for how in places]
        assert told[0] == told[1] == told[2] == [(releases.VIEW, "customer_id", NOW - 3600, 3)]


class TestRefusals:
    """What Feast cannot do right is refused, with the reason."""

    def test_an_online_store_that_is_gone_is_named(self, tmp_path):
        with online_store("redis") as online:
            store = opened(tmp_path, online)
            view = spend_view()
            frame = pd.DataFrame({"customer_id": [1], "at": [TODAY - pd.Timedelta(days=1)], "mean_7d": [1.0]})
            store.publish(view, store.write(view, frame), now=NOW)
            assert store.online(view.name, [1], NOW) == [{"mean_7d": 1.0}]
        with pytest.raises(OutsideError, match=r"Feast could not read customer_spend_v1 online .*feature_store.yaml.*"):
            store.online(view.name, [1], NOW)

    def test_an_offline_store_of_tables_is_refused_before_anything_is_asked(self, tmp_path):
        folder = tmp_path / "feature_repo"
        file = repository(folder, {"type": "sqlite", "path": "online.db"})
        settings = json.loads(file.read_text())
        offline = {"type": "postgres", "host": "127.0.0.1", "port": 1, "database": "x", "user": "x", "password": "x"}
        file.write_text(json.dumps({**settings, "offline_store": offline}))
        store = FeastStore(tmp_path / "features", ObjectStore(tmp_path / "objects"), open_feast(file))
        with pytest.raises(UsageError, match=r"'postgres' of .* reads tables"):
            store.point_in_time(pd.DataFrame(), [], timestamp="at")

    def test_a_key_that_is_text_in_one_view_and_a_number_in_another_is_refused(self, tmp_path):
        file = repository(tmp_path / "feature_repo", {"type": "sqlite", "path": "online.db"})
        store = FeastStore(tmp_path / "features", ObjectStore(tmp_path / "objects"), open_feast(file))
        one, other = spend_view(), replace(spend_view(), name="other_v1")
        frame = pd.DataFrame({"customer_id": [1], "at": [TODAY - pd.Timedelta(days=1)], "mean_7d": [1.0]})
        store.publish(one, store.write(one, frame), now=NOW)
        text = frame.astype({"customer_id": str})
        with pytest.raises(DeclarationError, match="customer_id holds string, but int64 in customer_spend_v1"):
            store.publish(other, store.write(other, text), now=NOW)

    def test_a_key_that_feast_does_not_know_is_refused_with_the_place(self, tmp_path):
        store = opened(tmp_path, {"type": "sqlite", "path": "online.db"})
        frame = pd.DataFrame({"customer_id": [1.5], "at": [TODAY - pd.Timedelta(days=1)], "mean_7d": [1.0]})
        with pytest.raises(DeclarationError, match=r"features/money.py:3: customer_id is double"):
            store.publish(spend_view(), store.write(spend_view(), frame), now=NOW)

    def test_a_configuration_that_feast_does_not_take_is_told_with_its_file(self, tmp_path):
        file = repository(tmp_path, {"type": "no-such-store"})
        with pytest.raises(ConfigError, match=r"feature_store.yaml is not a configuration that Feast takes"):
            open_feast(file).registered()


class TestProject:
    """A project at home in Feast goes all the way, and Feast knows what it reads."""

    @pytest.fixture(scope="class")
    @classmethod
    def ran(cls, tmp_path_factory):
        root = tmp_path_factory.mktemp("project") / "shop"
        files = {"features/spend.py": FEATURES, "models/fraud.py": MODEL, "tests/features/test_spend.py": FEATURE_TESTS}
        small.write(root, {"pyproject.toml": PROJECT, "bentofile.yaml": small.BENTO, **files})
        small.write(
            root, {"features/__init__.py": "", "models/__init__.py": "", "features/payments.schema.yaml": SCHEMA}
        )
        repository(root / "feature_repo", {"type": "sqlite", "path": "data/online.db"})
        payments().to_parquet(root / "payments.parquet")
        with pytest.MonkeyPatch.context() as patched:
            patched.delenv("MLFLOW_TRACKING_URI", raising=False)
            return root, small.go(root)

    def test_it_goes_live(self, ran):
        assert not ran[1].errors, str(ran[1])
        assert ran[1].record("deploy:fraud_v1").facts["changed"]

    def test_the_registry_names_its_views_and_its_model_with_code_and_owner(self, ran):
        feast = open_feast(ran[0] / "feature_repo" / "feature_store.yaml")
        view = feast.registered()["customer_spend_v1"]
        assert (view.entity, view.columns, view.ttl) == ("customer_id", ("mean",), 30 * 86_400_000_000)
        catalog = small.opened(ran[0]).catalog
        assert view.tags["mlops.code"] == code_digest(catalog.views["customer_spend_v1"], ran[0])
        assert feast.services() == {"fraud_v1": {"customer_spend_v1": ("mean",)}}

    def test_nothing_of_the_on_demand_functions_is_in_the_registry(self, ran):
        assert b"amount_over_mean" not in (ran[0] / "feature_repo" / "registry.db").read_bytes()

    def test_the_service_reads_what_was_published(self, ran):
        workspace = small.opened(ran[0])
        target = chosen.local(workspace, "staging")
        live = target.standing("fraud").live
        loaded = load_release(workspace.releases, live, target.online)
        newest = payments().query("customer_id == 3")["amount"].mean()
        (row,) = loaded.read_stored(loaded.decoder.convert([{"customer_id": 3, "amount": 5.0}]))
        assert row == {"mean": pytest.approx(newest)}

    def test_feast_apply_accepts_what_is_exported_and_joins_with_it(self, ran, tmp_path):
        done = small.mlops(ran[0], "features", "export", "--to", "feast", str(tmp_path))
        assert done.returncode == 0, done.stderr
        feast = [str(Path(sys.executable).with_name("feast")), "-c", str(tmp_path)]
        applied = subprocess.run([*feast, "apply"], capture_output=True, text=True, check=False)
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert open_feast(tmp_path / "feature_store.yaml").services() == {"fraud_v1": {"customer_spend_v1": ("mean",)}}
        store = FeatureStore(str(tmp_path))
        asked = pd.DataFrame({"customer_id": [3], "event_timestamp": [pd.Timestamp.now("UTC")]})
        found = store.get_historical_features(asked, store.get_feature_service("fraud_v1")).to_df()
        assert found["mean"].tolist() == [pytest.approx(payments().query("customer_id == 3")["amount"].mean())]

    def test_the_same_run_again_computes_nothing(self, ran):
        assert small.go(ran[0]).computed == []


def payments(rows: int = 900) -> pd.DataFrame:
    """Payments of some customers in the last weeks; large ones beside the customer's mean are fraud more often."""
    random = np.random.default_rng(5)
    usual = random.gamma(3.0, 10.0, 40)
    customer = random.integers(0, 40, rows)
    amount = usual[customer] * random.lognormal(0.0, 0.6, rows)
    times = pd.Timestamp.now("UTC").tz_localize(None).floor("h") - pd.to_timedelta(
        np.arange(rows)[::-1] * 40 + 60, unit="m"
    )
    fraud = random.random(rows) < 1 / (1 + np.exp(-3 * (amount / usual[customer] - 1.8)))
    frame = pd.DataFrame(
        {"customer_id": customer, "event_time": times, "amount": amount.round(2), "is_fraud": fraud.astype(int)}
    )
    return frame.astype({"event_time": "datetime64[us]"})
