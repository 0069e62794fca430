"""Batch prediction: the service's answers for a whole file, in bounded memory, whole or not at all."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops.adapters import bentoserver
from mlops.adapters.index import Index
from mlops.config import Source
from mlops.contract import Contract, Field
from mlops.errors import DeploymentFailed, GateFailed, NothingToDo, OutsideError, UsageError
from mlops.release import PAYLOAD
from mlops.serving.refusal import Refused
from mlops.serving.requests import Decoder
from mlops.serving.runtime import load_release
from mlops.serving.tabular import Reading, checked
from mlops.steps.deploy import deploy
from mlops.steps.predict import Wanted, predict
from mlops.stores.reads import ROW
from mlops.workspace import Workspace, open_workspace
from tests import small
from tests.bank import payments
from tests.serving.releases import make_project, make_release, publish_customers


@pytest.fixture(scope="module")
def shop_of_customers(tmp_path_factory) -> Workspace:
    """A project whose live release reads a stored and an on-demand feature. Leave it as it is."""
    root = tmp_path_factory.mktemp("predict")
    workspace = make_project(root)
    name = make_release(workspace.releases)
    publish_customers(workspace.environments / "staging" / "online.sqlite")
    deploy(workspace, environment="staging", release=name)
    return workspace


def rows(count: int = 500) -> pd.DataFrame:
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "payment": [f"p{i}" for i in range(count)],
            "customer_id": random.integers(0, 5, count),
            "amount": random.gamma(2, 50, count).round(2),
        }
    )


def written(frame: pd.DataFrame, file: Path) -> Path:
    frame.to_parquet(file) if file.suffix == ".parquet" else frame.to_csv(file, index=False)
    return file


def read(file: Path) -> pd.DataFrame:
    return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)


def left_over(workspace: Workspace) -> list[Path]:
    return [path for path in workspace.scratch.rglob("*") if path.is_file()]


# -- the same answers ---------------------------------------------------------------------------------------------


def test_a_file_gets_the_answers_that_a_running_service_gives(shop_of_customers, tmp_path):
    workspace, frame = shop_of_customers, rows()
    file, out = written(frame, tmp_path / "payments.csv"), tmp_path / "scores.parquet"
    record = predict(workspace, wanted=Wanted(file=file, out=out, environment="staging", keep=("payment",), rows=128))
    found = read(out)
    assert list(found) == ["row", "customer_id", "payment", "prediction", "probability", "release"]
    assert list(found["payment"]) == list(frame["payment"])
    answers = asked(workspace, record.facts["release"], frame[["customer_id", "amount"]], tmp_path)
    assert list(found["prediction"]) == [one["prediction"] for one in answers]
    np.testing.assert_allclose(found["probability"], [one["probability"] for one in answers], rtol=0, atol=1e-12)
    assert set(found["release"]) == {one["release"] for one in answers} == {record.facts["release"]}
    known = int((frame["customer_id"] < 3).sum())
    told = record.facts["features"]["customer_spend_v1"]
    assert told == {"found": known, "missing": 500 - known, "expired": 0}
    assert record.facts["ignored"] == []
    assert left_over(workspace) == []


def asked(workspace: Workspace, release: str, frame: pd.DataFrame, place: Path) -> list[dict]:
    serving = bentoserver.Serving(
        target="mlops.serving.service:Service",
        port=bentoserver.free_port(),
        home=place / "home",
        variables={
            "MLOPS_RELEASE": str(workspace.releases / release / PAYLOAD),
            "MLOPS_ONLINE": str(workspace.environments / "staging" / "online.sqlite"),
        },
    )
    with bentoserver.running(serving, log=place / "log") as server:
        bentoserver.wait_ready(server, serving, seconds=60)
        body = json.dumps(frame.to_dict("records")).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{serving.port}/predict", body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())


def test_stored_features_of_each_row_s_own_time_are_those_of_training(bank):
    workspace = open_workspace(bank)
    out = bank / "scores.parquet"
    with pytest.raises(UsageError, match="as of when"):
        predict(workspace, wanted=Wanted(file=bank / "payments.csv", out=out, environment="staging"))
    wanted = Wanted(file=bank / "payments.csv", out=out, environment="staging", as_of="row", rows=300)
    record = predict(workspace, wanted=wanted)
    found = read(out)
    assert list(found) == ["row", "customer", "at", "prediction", "probability", "release"]
    assert record.facts["as_of"] == "each row's at"
    table = pd.concat([workspace.frame(assembled(bank).outputs[side]) for side in ("train", "holdout")])
    release = load_release(workspace.releases, record.facts["release"], None)
    expected = release.predict_table(table).probabilities[:, 1]
    by_row = found.set_index("row")["probability"].loc[table[ROW]]
    np.testing.assert_allclose(by_row.to_numpy(), expected, rtol=0, atol=1e-12)
    assert len(found) == len(payments()) == record.facts["rows"]
    now = predict(workspace, wanted=Wanted(file=bank / "payments.csv", out=out, environment="staging", as_of="now"))
    assert now.facts["features"]["spend_v2"]["found"] == len(found)
    assert not np.allclose(read(out)["probability"], found["probability"]), "the newest values are others"


def assembled(root: Path):
    return Index(root / ".mlops/index.db").latest("assemble", "fraud_v2")


def test_history_of_an_edited_view_is_refused(bank):
    small.edit(bank / "features/spend.py", "return past(payments, 10", "return past(payments, 11")
    wanted = Wanted(file=bank / "payments.csv", out=bank / "s.csv", environment="staging", as_of="row")
    with pytest.raises(DeploymentFailed, match=r"spend_v2.*edited") as caught:
        predict(open_workspace(bank), wanted=wanted)
    assert "its source is in" in caught.value.next_step


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *[("float", v) for v in (1, 2.5, -3e-5, 1e308, "1", True, None, 10**400)],
        *[("int", v) for v in (1, 3.0, 2.5, 2**63 - 1, 2**63, -(2**63), 1e17, 1e30, "7", True, None)],
        *[("bool", v) for v in (True, False, 1, "true", None)],
        *[("string", v) for v in ("Rome", " x ", "7", 7, True, None)],
        *[("timestamp", v) for v in ("2024-05-31T12:00:00", "2024-05-31T12:00:00+02:00", "2024-05-31", "soon", 7)],
    ],
)
@pytest.mark.parametrize("nullable", [False, True])
def test_what_a_parquet_file_may_hold_is_what_a_request_may_hold(kind, value, nullable):
    contract = plain(Field(name="x", kind=kind, nullable=nullable))
    try:
        wanted = Decoder(contract, most_rows=9).decode(json.dumps([{"x": value}]).encode()).rows
    except Refused:
        wanted = None
    try:
        column = pa.array([value])
    except (OverflowError, pa.ArrowInvalid):
        assert wanted is None, "what Arrow cannot hold is no request either"
        return
    try:
        found = checked(pa.table({"x": column}), contract, Reading(Source(), text=False))
        assert not found.rows or not found.faults
        assert (tuple(found.rows) or None) == wanted
    except GateFailed:
        assert wanted is None, "a column of another type"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        *[("float", text, float(text)) for text in ("1", "-2.5", "3e-5", " 7 ", "+.5")],
        *[("float", text, "must be a") for text in ("1,5", "inf", "1e999", "0x10", "seven", "-", "1_000")],
        *[("int", "3.0", 3), ("int", "9223372036854775807", 2**63 - 1), ("int", "9" * 19, "is out of range")],
        *[("int", "1e3", 1000), ("int", "2.5", "must be a whole"), ("int", "x", "must be a whole")],
        *[("bool", "True", True), ("bool", "false", False), ("bool", "1", "must be true or false")],
        *[("string", " Rome ", "Rome"), ("string", "007", "007")],
        ("timestamp", "2024-05-31T12:00:00+02:00", pd.Timestamp("2024-05-31T10:00:00")),
        *[("timestamp", "31.5.2024", "must be a time"), ("timestamp", "1e9", "must be a time")],
    ],
)
def test_text_becomes_what_its_field_is_or_is_named(kind, text, value):
    table = pa.table({"x": pa.array([text], pa.string())})
    found = checked(table, plain(Field(name="x", kind=kind, nullable=True)), Reading(Source(), text=True))
    if found.faults:
        assert found.faults[0].value == text
        assert found.faults[0].reason.startswith(str(value))
    else:
        assert found.rows[0]["x"] == value
        assert type(found.rows[0]["x"]) is not str or kind == "string"


def test_a_source_s_own_way_of_writing_is_read():
    source = Source(decimal=",", missing=(-200,), timestamps={"t": "%d.%m.%Y"})
    contract = plain(Field(name="x", kind="float", nullable=True), Field(name="t", kind="timestamp", nullable=False))
    table = pa.table({"x": ["1,5", "-200", "1.5"], "t": ["31.05.2024", "01.06.2024", "2024-06-01"]})
    found = checked(table, contract, Reading(source, text=True))
    assert [row["x"] for row in found.rows] == [1.5, None]
    assert {(fault.row, fault.column) for fault in found.faults} == {(2, "x"), (2, "t")}


def plain(*fields: Field) -> Contract:
    return Contract(
        model="m_v1", task="binary", metric="roc_auc", label="y", classes=(0, 1), fields=fields, stored=(),
        computed=(), columns=(),
    )  # fmt: skip


# -- bad rows -----------------------------------------------------------------------------------------------------


@pytest.fixture
def spoilt(tmp_path) -> Path:
    text = rows(6).to_csv(index=False).splitlines()
    text[2] = "p1,one,3.5"
    text[3] = '"p\n2",2,'
    text[5] = "p4,1,1e999"
    file = tmp_path / "spoilt.csv"
    file.write_text("\n".join(text) + "\n")
    return file


def test_every_bad_value_is_named_by_its_line_and_nothing_is_written(shop_of_customers, spoilt, tmp_path):
    with pytest.raises(GateFailed) as caught:
        predict(shop_of_customers, wanted=Wanted(file=spoilt, out=tmp_path / "s.csv", environment="staging"))
    message = caught.value.message
    assert message.startswith("3 of 6 rows are no request")
    assert f"{spoilt}:3: customer_id = 'one' must be a whole number" in message
    assert f"{spoilt}:4: amount = '' must not be missing" in message
    assert f"{spoilt}:7: amount = '1e999' must be a finite number" in message
    assert sorted(tmp_path.iterdir()) == [spoilt]
    assert left_over(shop_of_customers) == []


def test_bad_rows_are_set_aside_with_their_reason(shop_of_customers, spoilt, tmp_path):
    out, bad = tmp_path / "s.csv", tmp_path / "bad.csv"
    wanted = Wanted(file=spoilt, out=out, environment="staging", skip_bad=bad, rows=2)
    record = predict(shop_of_customers, wanted=wanted)
    assert (record.facts["predicted"], record.facts["bad"]) == (3, 3)
    assert list(read(out)["row"]) == [0, 3, 5]
    assert list(read(bad)[["line", "column"]].itertuples(index=False, name=None)) == [
        (3, "customer_id"),
        (4, "amount"),
        (7, "amount"),
    ]


def test_a_missing_column_is_refused_even_where_it_may_be_empty(shop_of_customers, tmp_path):
    file = written(rows(3).rename(columns={"amount": "amont"}), tmp_path / "p.csv")
    with pytest.raises(GateFailed, match="lacks the column 'amount'") as caught:
        predict(shop_of_customers, wanted=Wanted(file=file, out=tmp_path / "s.csv", environment="staging"))
    assert "'amont'" in caught.value.next_step


def test_a_column_of_another_type_is_refused_as_one(shop_of_customers, tmp_path):
    file = written(rows(3).astype({"customer_id": str}), tmp_path / "p.parquet")
    with pytest.raises(GateFailed, match="'customer_id' holds string, and the release wants int"):
        predict(shop_of_customers, wanted=Wanted(file=file, out=tmp_path / "s.csv", environment="staging"))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"environment": None}, UsageError, "by which release"),
        ({"out": Path("scores.xlsx")}, UsageError, "ends in none of"),
        ({"out": None}, UsageError, "is the file that is read"),
        ({"keep": ("paiment",)}, UsageError, "no column 'paiment'"),
        ({"environment": "production"}, NothingToDo, "nothing has been deployed"),
        ({"environment": None, "release": "fraud"}, UsageError, "each environment's own"),
        ({"as_of": "row"}, UsageError, "knows no time"),
        ({"file": Path("nowhere.csv")}, UsageError, "no file nowhere.csv"),
    ],
)
def test_what_cannot_be_asked_for_is_said_before_anything_is_done(shop_of_customers, tmp_path, change, error, says):
    file = written(rows(3), tmp_path / "p.csv")
    given = {"file": file, "out": tmp_path / "s.csv", "environment": "staging", **change}
    with pytest.raises(error, match=says):
        predict(shop_of_customers, wanted=Wanted(**{**given, "out": given["out"] or file}))
    assert sorted(tmp_path.iterdir()) == [file]


def test_an_empty_file_is_never_a_success(shop_of_customers, tmp_path):
    file = written(rows(0), tmp_path / "p.csv")
    with pytest.raises(NothingToDo, match="has no rows"):
        predict(shop_of_customers, wanted=Wanted(file=file, out=tmp_path / "s.csv", environment="staging"))


def test_a_file_that_changes_while_it_is_read_gives_no_answer(shop_of_customers, tmp_path):
    file, out = written(rows(), tmp_path / "p.csv"), tmp_path / "s.csv"

    def tell(what, done, of):
        if what == "predicting":
            with file.open("a") as more:
                more.write("p,1,1.0\n")

    with pytest.raises(GateFailed, match="changed while it was read"):
        predict(shop_of_customers, wanted=Wanted(file=file, out=out, environment="staging"), tell=tell)
    assert not out.exists()


# -- killed -------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from mlops.adapters import files
from mlops.steps.predict import Wanted, predict
from mlops.workspace import open_workspace

root, file, out, what, at = sys.argv[1:]
def tell(doing, done, of):
    if doing == what and done >= int(at):
        os.kill(os.getpid(), signal.SIGKILL)
if what == "writing":
    real = files.sync
    def sync(path):
        if path.name.startswith("." + Path(out).name):
            os.kill(os.getpid(), signal.SIGKILL)
        real(path)
    files.sync = sync
wanted = Wanted(file=Path(file), out=Path(out), environment="staging", rows=100)
predict(open_workspace(Path(root)), wanted=wanted, tell=tell)
"""


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_run_that_was_killed_goes_on_and_gives_the_very_same_bytes(shop_of_customers, tmp_path, ending):
    workspace, file = shop_of_customers, written(rows(), tmp_path / "payments.parquet")
    whole, out = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    predict(workspace, wanted=Wanted(file=file, out=whole, environment="staging", rows=100))
    for what, at in (("checking", 200), ("predicting", 100), ("predicting", 400), ("writing", 0)):
        arguments = [sys.executable, "-c", KILLED, str(workspace.root), str(file), str(out), what, str(at)]
        ended = subprocess.run(arguments, check=False, cwd=Path(__file__).parents[2])
        assert ended.returncode == -signal.SIGKILL
        assert not out.exists()
    record = predict(workspace, wanted=Wanted(file=file, out=out, environment="staging", rows=100))
    assert record.facts["resumed_after"] == 500
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "payments.parquet", whole.name]
    assert left_over(workspace) == []


def test_what_was_published_since_is_not_mixed_with_what_was_before(shop_of_customers, tmp_path):
    workspace, file, out = shop_of_customers, written(rows(), tmp_path / "p.csv"), tmp_path / "s.csv"
    online = workspace.environments / "staging" / "online.sqlite"

    def stop(what, done, of):
        if what == "predicting" and done == 300:
            raise OutsideError("stopped", next_step="go on")

    wanted = Wanted(file=file, out=out, environment="staging", rows=100)
    with pytest.raises(OutsideError, match="stopped"):
        predict(workspace, wanted=wanted, tell=stop)
    publish_customers(online)
    assert predict(workspace, wanted=wanted).facts["resumed_after"] == 0
    shutil.rmtree(workspace.scratch)


def test_two_of_the_same_do_not_meet(shop_of_customers, tmp_path):
    wanted = Wanted(file=written(rows(), tmp_path / "p.csv"), out=tmp_path / "s.csv", environment="staging")

    def again(what, done, of):
        if what == "predicting":
            predict(shop_of_customers, wanted=wanted)

    with pytest.raises(OutsideError, match="the same rows are being predicted by process"):
        predict(shop_of_customers, wanted=wanted, tell=again)


# -- the command --------------------------------------------------------------------------------------------------


def test_the_command_tells_machines_and_reads_standard_input(shop_of_customers, tmp_path):
    root, out = shop_of_customers.root, tmp_path / "s.csv"
    text = io.StringIO()
    rows(50).to_csv(text, index=False)
    arguments = ["predict", "-", "--out", str(out), "--env", "staging", "--json", "--project", str(root)]
    ended = subprocess.run(
        [sys.executable, "-m", "mlops", *arguments], input=text.getvalue().encode(), capture_output=True, check=False,
        env=small.variables(), cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    told = json.loads(ended.stdout)
    assert (told["rows"], told["file"], told["ignored"]) == (50, "standard input", ["payment"])
    assert ended.stderr == b"", "no bar where nobody looks"
    assert len(read(out)) == 50
    assert oct(out.stat().st_mode & 0o777) == oct(0o666 & ~current_umask())
    assert not list(shop_of_customers.scratch.glob("stdin-*"))


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


MEASURED = """
import resource, sys
from pathlib import Path
from mlops.steps.predict import Wanted, predict
from mlops.workspace import open_workspace
root, file, out = sys.argv[1:]
predict(open_workspace(Path(root)), wanted=Wanted(file=Path(file), out=Path(out), environment="staging", rows=5000))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_file(shop_of_customers, tmp_path):
    used = []
    for count in (10_000, 400_000):
        file = written(rows(count), tmp_path / f"{count}.csv")
        arguments = [sys.executable, "-c", MEASURED, str(shop_of_customers.root), str(file), str(tmp_path / "s.csv")]
        ended = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        used.append(int(ended.stdout))
    assert used[1] - used[0] < 80, f"{used} MB: 40 times the rows"
