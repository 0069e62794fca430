"""The training set: what each row may know, which side it is on, and what the contract says."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from mlops.config import Config, ModelSettings, Source
from mlops.contract import Contract, model_inputs
from mlops.errors import DeclarationError, GateFailed
from mlops.steps.assemble import assemble
from mlops.steps.build_features import build_features
from mlops.verdict import Outcome, Record
from mlops.workspace import Workspace

Make = Callable[..., Record]

FEATURES = """
    import pandas as pd
    from mlops import feature_view, on_demand

    @feature_view(source="payments", entity="customer", timestamp="at", ttl="30d")
    def spend_v1(payments):
        table = payments.sort_values(["customer", "at"])
        table["total"] = table.groupby("customer")["amount"].cumsum()
        return table[["customer", "at", "total"]]

    @feature_view(source="payments", entity="customer", timestamp="at")
    def other_v1(payments):
        return payments[["customer", "at"]].assign(total=1.0)

    @on_demand(inputs=["amount", "spend_v1.total"])
    def share_v1(amount, total):
        return amount / total.where(total > 0)

    @on_demand(inputs=["share_v1"])
    def high_v1(share):
        return share > 0.5
"""


class Project:
    """A project with one source, written for a test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "features").mkdir(parents=True)
        (root / "models").mkdir()
        for folder in ("features", "models"):
            (root / folder / "__init__.py").touch()

    def write(self, name: str, code: str) -> None:
        (self.root / name).write_text(textwrap.dedent(code), encoding="utf-8")

    def assemble(self, frame: pd.DataFrame, declaration: str, settings: ModelSettings | None = None) -> tuple:
        code = f"from mlops import model\n\n@model(source='payments', {declaration})\ndef risk_v1(X, y, params): ...\n"
        self.write("models/risk.py", code)
        config = Config(name="p", sources={"payments": Source(path="payments.csv")})
        workspace = Workspace(self.root, config)
        snapshot = Record(step="snapshot", subject="payments", outputs={"data": workspace.put_frame(frame)})
        model = workspace.catalog.models["risk_v1"]
        views, _ = workspace.catalog.pinned(model)
        features = {view.name: build_features(workspace, view=view, snapshot=snapshot) for view in views}
        settings = settings or ModelSettings(min_rows=4)
        record = assemble(workspace, model=model, snapshot=snapshot, features=features, settings=settings)
        return workspace, record


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project")
    made.write("features/spend.py", FEATURES)
    return made


def payments(rows: int = 60) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), unit="D").as_unit("us"),
            "customer": np.arange(rows) % 3,
            "amount": random.integers(1, 50, rows),
            "channel": random.choice(["shop", "web"], rows),
            "fraud": np.tile([0.0, 0.0, 1.0, 0.0], rows)[:rows],
        }
    )


def contract_of(workspace: Workspace, record: Record) -> Contract:
    return msgspec.json.decode(workspace.objects.get(record.outputs["contract"]), type=Contract)


def sides(workspace: Workspace, record: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    return workspace.frame(record.outputs["train"]), workspace.frame(record.outputs["holdout"])


STORED = "label='fraud', timestamp='at', features=['spend_v1', 'share_v1'], request=['amount']"


def test_a_row_sees_what_was_stored_strictly_before_it(project: Project) -> None:
    frame = payments()
    workspace, record = project.assemble(frame, STORED)
    table = pd.concat(sides(workspace, record)).sort_values("__row")
    earlier = frame.groupby("customer")["amount"].cumsum() - frame["amount"]
    expected = earlier.where(earlier > 0).to_numpy(float)
    np.testing.assert_array_equal(table["total"].to_numpy(float), expected)
    np.testing.assert_allclose(table["share_v1"].to_numpy(float), frame["amount"].to_numpy() / expected)
    assert record.verdict is not None
    assert record.verdict.accepted


def test_the_contract_asks_for_the_keys_the_request_and_what_is_computed_from(project: Project) -> None:
    workspace, record = project.assemble(
        payments(), "label='fraud', timestamp='at', features=['spend_v1', 'high_v1'], request=['channel']"
    )
    contract = contract_of(workspace, record)
    assert [(f.name, f.kind, f.nullable) for f in contract.fields] == [
        ("customer", "int", False),
        ("channel", "string", False),
        ("amount", "int", False),
    ]
    assert [(c.name, c.kind) for c in contract.columns] == [
        ("channel", "string"),
        ("total", "number"),
        ("high_v1", "number"),
    ]
    assert [(c.name, c.inputs) for c in contract.computed] == [
        ("share_v1", ("amount", "total")),
        ("high_v1", ("share_v1",)),
    ]
    assert contract.stored[0].ttl_seconds == 30 * 86400
    assert (contract.task, contract.metric, contract.classes) == ("binary", "roc_auc", (0, 1))
    inputs = model_inputs(sides(workspace, record)[0], contract)
    assert list(inputs.columns) == ["channel", "total", "high_v1"]


def test_the_newest_rows_are_held_out_and_training_labels_were_known_by_then(project: Project) -> None:
    frame = payments(100)
    workspace, record = project.assemble(frame, STORED + ", label_delay='7d'")
    train, holdout = sides(workspace, record)
    assert holdout["at"].min() - train["at"].max() >= pd.Timedelta(days=7)
    assert len(holdout) / (len(frame) - record.metrics["immature"]) == pytest.approx(0.2, abs=0.02)
    assert record.metrics["immature"] == 7
    assert record.metrics["gap"] == 6


def test_by_entity_all_rows_of_one_stay_on_one_side_and_stay_there(project: Project) -> None:
    table = payments(400).assign(customer=np.arange(400) % 40)
    settings = ModelSettings(min_rows=4, split="entity:customer")
    workspace, record = project.assemble(table, "label='fraud', timestamp='at', request=['amount']", settings)
    train, holdout = sides(workspace, record)
    assert len(train) + len(holdout) == 400
    assert not set(train["customer"]) & set(holdout["customer"])
    found = record.facts["split"]
    assert (found["kind"], found["column"]) == ("entity", "customer")
    assert found["train_entities"] + found["holdout_entities"] == 40
    assert 2 <= found["holdout_entities"] <= 16
    fewer = table[table["customer"] >= 10]
    _, other = sides(*project.assemble(fewer, "label='fraud', timestamp='at', request=['amount']", settings))
    assert set(other["customer"]) == {one for one in holdout["customer"] if one >= 10}


def test_a_split_by_a_column_that_is_not_there_names_the_nearest(project: Project) -> None:
    settings = ModelSettings(min_rows=4, split="entity:custmer")
    with pytest.raises(DeclarationError, match='"entity:custmer", but the source') as caught:
        project.assemble(payments(), "label='fraud', timestamp='at', request=['amount']", settings)
    assert "customer" in caught.value.next_step


def test_a_late_row_is_seen_by_the_rows_after_it_was_known_and_a_label_after_its_delay(project: Project) -> None:
    project.write(
        "features/late.py",
        """
        from mlops import feature_view

        @feature_view(source="payments", entity="customer", timestamp="at", created="known_at", ttl="10d")
        def last_v1(payments):
            return payments[["customer", "at", "known_at", "amount"]].rename(columns={"amount": "last"})
        """,
    )
    table = payments(60).assign(customer=1)
    table["known_at"] = table["at"] + pd.to_timedelta(np.where(table.index % 4 == 1, 60, 0), unit="h")
    declared = "label='fraud', timestamp='at', label_delay='7d', features=['last_v1'], request=['amount']"
    workspace, record = project.assemble(table, declared)
    train, holdout = sides(workspace, record)
    for row in pd.concat([train, holdout]).itertuples():
        known = table[
            (table["known_at"] < row.at) & (table["at"] < row.at) & (table["at"] >= row.at - pd.Timedelta("10D"))
        ]
        expected = known["amount"].iloc[-1] if len(known) else np.nan
        assert row.last == expected or (np.isnan(row.last) and np.isnan(expected))
    assert pd.concat([train, holdout])["at"].min() == table["at"].min()  # a row without a match is kept
    assert train["at"].max() <= holdout["at"].min() - pd.Timedelta("7D")
    assert holdout["at"].max() <= table["at"].max() - pd.Timedelta("7D")


def test_rows_without_a_label_or_a_time_are_left_out_and_counted(project: Project) -> None:
    frame = payments()
    frame.loc[[3, 4], "fraud"] = np.nan
    frame.loc[[7], "at"] = pd.NaT
    workspace, record = project.assemble(frame, "label='fraud', timestamp='at', request=['amount']")
    rows = set(pd.concat(sides(workspace, record))["__row"])
    assert rows == set(range(60)) - {3, 4, 7}
    assert (record.metrics["unlabelled"], record.metrics["undated"]) == (2, 1)
    assert record.verdict is not None
    assert [f.check for f in record.verdict.fired] == ["training-set.left-out.undated"]
    assert record.verdict.accepted


def test_a_plain_table_is_read_whole_and_equal_rows_stay_on_one_side(project: Project) -> None:
    frame = pd.concat([payments(200), payments(200)]).reset_index(drop=True)
    workspace, record = project.assemble(frame, "label='fraud', ignore=['at']")
    train, holdout = sides(workspace, record)
    contract = contract_of(workspace, record)
    assert [c.name for c in contract.columns] == ["customer", "amount", "channel"]
    keys = ["customer", "amount", "channel"]
    assert train.merge(holdout, on=keys).empty
    assert 0.1 < len(holdout) / len(frame) < 0.3


def test_a_row_stays_on_its_side_when_rows_are_added(project: Project) -> None:
    def held_out(rows: int) -> set[int]:
        workspace, record = project.assemble(payments(300).head(rows), "label='fraud', ignore=['at']")
        return set(sides(workspace, record)[1]["__row"])

    assert held_out(150) == {row for row in held_out(300) if row < 150}


@pytest.mark.parametrize(
    ("labels", "task", "classes"),
    [
        (["no", "yes"], "binary", ("no", "yes")),
        ([True, False], "binary", (False, True)),
        ([1.0, 2.0], "binary", (1, 2)),
        (["a", "b", "c"], "multiclass", ("a", "b", "c")),
        ([3, 4, 5], "multiclass", (3, 4, 5)),
        ([0.5, 1.5, 2.25, 7.0], "regression", ()),
        (list(range(60)), "regression", ()),
    ],
)
def test_the_task_is_told_from_the_label_and_stated(project: Project, labels: list, task: str, classes: tuple) -> None:
    frame = payments(120).assign(fraud=(labels * 120)[:120])
    workspace, record = project.assemble(frame, "label='fraud', request=['amount']")
    contract = contract_of(workspace, record)
    assert (contract.task, contract.classes) == (task, classes)
    assert record.facts["task"] == task
    assert "label" in record.facts["task_reason"]
    assert sides(workspace, record)[0]["fraud"].notna().all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fraud": np.nan}, "all 60 values of the label 'fraud' are missing"),
        ({"fraud": 1.0}, "has one value only, 1.0, in all 60 labelled rows"),
        ({"fraud": [f"name {i}" for i in range(60)]}, "has 60 different values in 60 rows"),
    ],
)
def test_a_label_that_cannot_teach_fails_with_a_sentence(project: Project, change: dict, words: str) -> None:
    _, record = project.assemble(payments().assign(**change), "label='fraud', request=['amount']")
    assert record.verdict is not None
    assert record.verdict.outcome is Outcome.FAIL
    assert words in record.verdict.fired[0].message
    assert not record.outputs


def test_too_few_rows_fail(project: Project) -> None:
    _, record = project.assemble(payments(), "label='fraud', request=['amount']", ModelSettings(min_rows=1000))
    assert record.verdict is not None
    assert "60 labelled rows are fewer than min_rows = 1000" in record.verdict.fired[0].message


def test_a_class_that_is_on_one_side_only_fails(project: Project) -> None:
    frame = payments(100).assign(fraud=[1.0] * 40 + [0.0] * 60)
    _, record = project.assemble(frame, "label='fraud', timestamp='at', request=['amount']")
    assert record.verdict is not None
    assert record.verdict.outcome is Outcome.FAIL
    assert "1 is not in the held-out rows" in record.verdict.fired[0].message


def test_a_delay_longer_than_the_data_leaves_no_training_rows(project: Project) -> None:
    _, record = project.assemble(payments(), STORED + ", label_delay='50d'")
    assert record.verdict is not None
    assert record.verdict.outcome is Outcome.FAIL


@pytest.mark.parametrize(("labels", "copy"), [([0, 0, 1], ["n", "n", "y"]), ([1.5, 2.5, 9.25], [3.0, 5.0, 18.5])])
def test_a_copy_of_the_label_fails(project: Project, labels: list, copy: list) -> None:
    frame = payments(60).assign(fraud=labels * 20, chargeback=copy * 20)
    _, record = project.assemble(frame, "label='fraud', request=['amount', 'chargeback']")
    assert record.verdict is not None
    assert "reads 'chargeback', which repeats the label" in record.verdict.fired[0].message


@pytest.mark.parametrize(
    ("declaration", "words", "step"),
    [
        ("label='fruad', request=['amount']", "has no label column 'fruad'", "did you mean 'fraud'?"),
        ("label='fraud', request=['amuont']", "has no request column 'amuont'", "did you mean 'amount'?"),
        ("label='fraud', timestamp='when'", "has no timestamp column 'when'", "there are:"),
        ("label='fraud', request=['amount', 'fraud']", "reads its own label", "take it out"),
        ("label='fraud'", "reads 'at', which holds datetime64", "ignore=['at']"),
        ("label='fraud', request=['amount'], features=['spend_v1']", "lacks a timestamp", "declare timestamp"),
        (STORED.replace("'share_v1'", "'other_v1'"), "and other_v1.total (features/spend.py:", "one of them"),
        (
            STORED.replace("'amount'", "'amount'") + ", metric='r2'",
            "metric 'r2' does not judge a binary",
            "choose one of",
        ),
        ("label='fraud', timestamp='channel', request=['amount']", "is str, not a time", "timestamps"),
    ],
)
def test_a_declaration_that_does_not_fit_names_file_line_and_the_nearest(
    project: Project, declaration: str, words: str, step: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        project.assemble(payments(), declaration)
    message = caught.value.message.replace("is object", "is str")
    assert words in message
    assert step in caught.value.next_step
    assert "models/risk.py:3" in message


def test_a_feature_called_like_a_column_of_the_source_is_refused(project: Project) -> None:
    with pytest.raises(DeclarationError, match="two columns called 'total'"):
        project.assemble(payments().assign(total=1), STORED)


def test_one_column_of_a_view_can_be_pinned(project: Project) -> None:
    workspace, record = project.assemble(
        payments(), "label='fraud', timestamp='at', features=['spend_v1.total'], request=['amount']"
    )
    assert [c.name for c in contract_of(workspace, record).columns] == ["amount", "total"]


def test_features_that_match_nothing_fail(project: Project) -> None:
    project.write("features/spend.py", FEATURES.replace('payments.sort_values(["customer", "at"])', "late(payments)"))
    with (project.root / "features/spend.py").open("a") as file:
        file.write("\ndef late(payments):\n    return payments.assign(at=payments['at'] + pd.Timedelta(days=900))\n")
    _, record = project.assemble(payments(), STORED)
    assert record.verdict is not None
    assert record.verdict.outcome is Outcome.FAIL
    assert "spend_v1 has no value for 100.0% of the labelled rows" in {f.message for f in record.verdict.fired}


def test_an_on_demand_feature_that_raises_is_named(project: Project) -> None:
    project.write(
        "features/spend.py", FEATURES.replace("return amount / total.where(total > 0)", "return amount.nonsense")
    )
    with pytest.raises(GateFailed, match=r"spend.py:\d+: share_v1 raised AttributeError"):
        project.assemble(payments(), STORED)


def test_the_same_input_gives_the_same_digests(project: Project) -> None:
    assert project.assemble(payments(), STORED)[1].outputs == project.assemble(payments(), STORED)[1].outputs
