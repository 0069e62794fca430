"""Moments of the past, asked of stores and of a release's own code as if they were now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops import rehearsal
from mlops.adapters.objects import ObjectStore
from mlops.contract import Contract
from mlops.declare import FeatureView, Origin
from mlops.faults.online import FAULTS, FaultyStore
from mlops.stores.embedded import EmbeddedStore
from mlops.stores.rewound import drawn, near_expiry
from mlops.verdict import Finding, Outcome
from tests.steps.projects import BOOSTED, ModelProject

DAY = pd.Timedelta(days=1)


def view(**declared: Any) -> FeatureView:
    given = {"source": "payments", "entity": "customer", "timestamp": "at", "ttl": 2 * DAY, **declared}
    origin = Origin(file="features/spend.py", line=3)
    return FeatureView(name="spend_v1", function=len, module="features.spend", origin=origin, **given)


def history(rows: int = 400, *, text: bool = False) -> pd.DataFrame:
    """Rows of 40 customers over 60 days, known up to 3 days late, with gaps."""
    random = np.random.default_rng(1)
    at = pd.Timestamp("2024-03-01") + pd.to_timedelta(random.integers(0, 60 * 86400, rows), unit="s")
    customer = random.integers(0, 40, rows)
    return pd.DataFrame(
        {
            "customer": [f"c{number}" for number in customer] if text else customer,
            "at": at,
            "known": at + pd.to_timedelta(random.integers(0, 3 * 86400, rows), unit="s"),
            "mean": np.where(random.random(rows) < 0.2, np.nan, random.normal(50, 10, rows)),
            "count": random.integers(1, 9, rows),
            "place": random.choice(["Bonn", "Kiel"], rows),
        }
    )  # fmt: skip


def compared(tmp_path: Path, declared: FeatureView, rows: pd.DataFrame, fault: str = "") -> Finding:
    offline = EmbeddedStore(tmp_path / "offline", ObjectStore(tmp_path / "objects"))
    online = FaultyStore(tmp_path / "online", ObjectStore(tmp_path / "online"))
    online.fault = fault
    written = offline.write(declared, rows)
    return rehearsal.compared(declared, written, offline.objects, (offline, online), subject="fraud_v1")


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("declared", [{}, {"created": "known"}, {"created": "known", "ttl": None}])
def test_a_sound_store_gives_each_entity_at_its_moment_what_training_saw(tmp_path, declared, text) -> None:
    rows = history(text=text)
    made = view(**declared)
    found = compared(tmp_path, made, rows if made.created else rows.drop(columns="known"))
    assert found.outcome is Outcome.PASS, found.message
    assert found.n == 40


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_breaks_a_promise_is_found_with_the_place_and_the_moment(tmp_path, fault) -> None:
    found = compared(tmp_path, view(created="known"), history(), fault)
    assert found.outcome is Outcome.FAIL, FAULTS[fault]
    assert "of customer" in found.message
    assert " at 2024-" in found.message
    assert found.next_step


def test_a_history_without_a_row_is_not_compared_and_does_not_pass(tmp_path) -> None:
    """Promise 2."""
    found = compared(tmp_path, view(), history().drop(columns="known")[:0])
    assert found.outcome is Outcome.NOT_RUN


def test_those_with_the_newest_row_the_oldest_and_a_gap_are_always_asked(tmp_path) -> None:
    rows = history().drop(columns="known")
    rows.loc[rows["customer"] != 5, "mean"] = 1.0
    rows.loc[rows["customer"] == 5, "mean"] = np.nan
    store = EmbeddedStore(tmp_path, ObjectStore(tmp_path))
    written = store.write(view(), rows)
    for seed in range(3):
        asked = drawn(view(), written, store.objects, count=6, seed=seed)
        ordered = rows.sort_values("at")["customer"]
        assert {ordered.iloc[0], ordered.iloc[-1], 5} <= set(asked["key"])
        assert len(asked) == 6
        pd.testing.assert_frame_equal(asked, drawn(view(), written, store.objects, count=6, seed=seed))


def test_who_expires_while_being_asked_is_known(tmp_path) -> None:
    store = EmbeddedStore(tmp_path, ObjectStore(tmp_path))
    at = pd.Timestamp("2024-03-01")
    written = store.write(view(), pd.DataFrame({"customer": [1], "at": [at], "mean": [1.0]}))
    second = pd.Timedelta(seconds=1)
    moments = [at + 2 * DAY - 61 * second, at + 2 * DAY - 59 * second, at + 2 * DAY, at + 2 * DAY + second]
    asked = pd.DataFrame({"key": [1] * 4, "moment": moments})
    assert near_expiry(view(), written, store.objects, asked, seconds=60) == [False, True, True, False]


# -- a release's own code -------------------------------------------------------------------------------------------

FEATURES = """
import pandas as pd
from mlops import feature_view, on_demand

@feature_view(source="table", entity="customer", timestamp="at", ttl="3d")
def spend_v1(payments: pd.DataFrame) -> pd.DataFrame:
    rows = payments.sort_values(["customer", "at"], kind="stable").drop_duplicates(["customer", "at"], keep="last")
    return rows[["customer", "at"]].assign(so_far=rows.groupby("customer")["amount"].cumsum(), last=rows["amount"])

@on_demand(inputs=["amount", "spend_v1.so_far"])
def share_v1(amount: pd.Series, so_far: pd.Series) -> pd.Series:
    return amount / (so_far.fillna(0.0) + 1.0)
"""
RATIO = "return amount / (so_far.fillna(0.0) + 1.0)"
DECLARED = "label='fraud', timestamp='at', features=[spend_v1, share_v1], request=['amount']"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[ModelProject, rehearsal.Material, Path, Contract]:
    """A packaged model of payments, and what it learnt from."""
    random = np.random.default_rng(0)
    count = 1_500
    amount = random.gamma(2, 30, count).round(2)
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(count), unit="h")
    fraud = (amount + random.normal(0, 10, count) > 80).astype(int)
    frame = pd.DataFrame({"customer": random.integers(0, 60, count), "at": at, "amount": amount, "fraud": fraud})
    project = ModelProject(tmp_path_factory.mktemp("made") / "project")
    project.write("features/spend.py", FEATURES)
    model = project.declare(BOOSTED, DECLARED, before="from features.spend import share_v1, spend_v1")
    assembled = project.assemble(model, frame)
    packaged = project.package(model, project.train(model, assembled), assembled)
    views = project.workspace.catalog.views
    store = EmbeddedStore(project.root / "features-store", project.workspace.objects)
    material = rehearsal.Material(
        table=project.workspace.frame(assembled.outputs["holdout"]),
        views={"spend_v1": views["spend_v1"]},
        written={"spend_v1": store.write(views["spend_v1"], views["spend_v1"].function(frame))},
    )
    return project, material, project.unpack(packaged), project.contract(assembled)


def inputs(made: Any, tmp_path: Path, new: str = "", **changed: Any) -> Finding:
    """What is said of the release when its on-demand function reads `new`."""
    import shutil

    project, material, bento, contract = made
    copy = shutil.copytree(bento, tmp_path / "bento")
    file = copy / "src" / "features" / "spend.py"
    assert RATIO in file.read_text()
    file.write_text(file.read_text().replace(RATIO, new or RATIO))
    material = replace(material, **changed)
    asked = rehearsal.questions(material, contract, project.workspace.objects)
    return rehearsal.judge_inputs(project.workspace, material, asked, copy, tmp_path / "online", subject="risk_v1")


def test_a_sound_release_gives_its_model_at_each_moment_what_training_gave(made, tmp_path) -> None:
    found = inputs(made, tmp_path)
    assert found.outcome is Outcome.PASS, found.message
    assert found.n >= 20


@pytest.mark.parametrize(
    "new",
    [
        "return amount / amount.mean()",
        "return (amount / (so_far.fillna(0.0) + 1.0)).rank()",
        "return amount / (so_far.fillna(0.0) + 1.0) + pd.Timestamp.now().year",
        "return amount / (so_far.fillna(1.0) + 1.0)",
        "return (amount / (so_far.fillna(0.0) + 1.0)).astype('float32')",
    ],
    ids=["the mean of the rows", "a rank", "the clock", "a gap filled otherwise", "32 bits"],
)
def test_an_on_demand_feature_that_differs_at_the_request_is_found(made, tmp_path, new) -> None:
    found = inputs(made, tmp_path, new)
    assert found.outcome is Outcome.FAIL
    assert "the on-demand feature share_v1 is" in found.message
    assert "for customer" in found.message


def test_a_view_without_its_time_to_live_is_found_in_what_the_model_is_given(made, tmp_path) -> None:
    _, material, *_ = made
    forgetful = {"spend_v1": replace(material.views["spend_v1"], ttl=None)}
    found = inputs(made, tmp_path, views=forgetful)
    assert found.outcome is Outcome.FAIL
    assert "spend_v1.so_far is missing in training" in found.message


def test_rows_that_are_asked_share_no_entity_and_name_the_newest_and_the_oldest(made) -> None:
    project, material, _, contract = made
    asked = rehearsal.questions(material, contract, project.workspace.objects)
    assert asked.table["customer"].is_unique
    assert len(asked.requests) == len(asked.about) == len(asked.table)
    assert {material.table["at"].min(), material.table["at"].max()} <= set(asked.table["at"])
    again = rehearsal.questions(material, contract, project.workspace.objects)
    assert asked.requests == again.requests
