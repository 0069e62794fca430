"""What is new of stored features is computed and published, and nothing else; beside runs and readers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from mlops.cli.materialize import command
from mlops.errors import DeclarationError, GateFailed, MlopsError, NothingToDo
from mlops.steps.materialize import used, wanted
from mlops.stores.online import OnlineReader, published
from mlops.targets import chosen
from tests import small
from tests.parts.payments import VIEWS, payments, project

CUSTOMER = 7


def pay(root: Path, amount: float) -> None:
    """One more payment of the customer, after all that there are."""
    table = pd.read_csv(root / "payments.csv", parse_dates=["at"])
    last = table["at"].max() + pd.Timedelta(days=1)
    new = pd.DataFrame([{"customer": CUSTOMER, "at": last, "amount": amount, "fraud": 0}])
    pd.concat([table, new], ignore_index=True).to_csv(root / "payments.csv", index=False)


def called(root: Path, *arguments: str) -> Result:
    """`mlops materialize ARGUMENTS`, in this process."""
    small.opened(root)  # forgets what another project, or an earlier state of this one, has imported
    ran = CliRunner().invoke(command, [*arguments, "--project", str(root)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit | MlopsError), ran.exception
    return ran


def online(root: Path, view: str, environment: str = "staging") -> dict[str, object]:
    file = chosen.local(small.opened(root), environment).online
    (values,) = OnlineReader(file).read(view, [CUSTOMER], time.time())
    return dict(values)


def test_new_rows_reach_the_environment_and_the_answer_says_what_was_done(bank):
    """Promise 7: both versions of the features stay fresh."""
    before = {view: online(bank, view) for view in ("spend_v1", "spend_v2")}
    pay(bank, 900.0)
    ran = called(bank, "--json")
    assert ran.exit_code == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["outcome"] == "pass"
    for view in ("spend_v1", "spend_v2"):
        assert online(bank, view) != before[view]
        assert told["views"][view]["computed"] == 1
        assert told["environments"]["staging"]["views"][view]["entities"] > 1
        assert told["environments"]["staging"]["views"][view]["newest"] == told["views"][view]["newest"]


def test_a_second_time_nothing_is_computed(bank):
    pay(bank, 900.0)
    called(bank)
    ran = called(bank, "spend_v2")
    assert ran.exit_code == 0, ran.stderr
    assert "spend_v2: 1 part, 0 computed, 1 known" in ran.stdout
    assert "spend_v1" not in ran.stdout


def test_broken_data_is_not_published(bank):
    before = online(bank, "spend_v1")
    table = pd.read_csv(bank / "payments.csv")
    table["amount"] = -table["amount"]
    table.rename(columns={"fraud": "fraudulent"}).to_csv(bank / "payments.csv", index=False)
    ran = called(bank)
    assert ran.exit_code == 1
    assert "schema.column" in ran.stdout
    assert online(bank, "spend_v1") == before


def test_an_edited_version_that_a_release_reads_stays_as_it_is_and_says_so(bank):
    before = online(bank, "spend_v1")
    features = next(file for file in (bank / "features").glob("*.py") if "spend_v1" in file.read_text())
    text = features.read_text()
    features.write_text(
        text.replace(
            "def spend_v1(payments):\n", "def spend_v1(payments):\n    payments = payments.assign(amount=1.0)\n"
        )
    )
    assert features.read_text() != text
    pay(bank, 900.0)
    ran = called(bank)
    assert isinstance(ran.exception, GateFailed)
    assert "spend_v1 was edited since a release that staging retains was made with it" in ran.exception.message
    assert online(bank, "spend_v1") == before


def test_another_environment_gets_the_values_that_it_is_named_for(bank):
    assert used(small.opened(bank)) == ("staging",)
    ran = called(bank, "spend_v2", "--environment", "production")
    assert ran.exit_code == 0, ran.stderr
    assert {one.view for one in published(chosen.local(small.opened(bank), "production").online)} == {"spend_v2"}


def test_without_a_name_those_are_computed_that_models_and_retained_releases_read(bank):
    assert {view.name for view in wanted(small.opened(bank), ())} == {"spend_v1", "spend_v2"}
    with pytest.raises(DeclarationError, match="no feature view is called 'spend_v3'"):
        wanted(small.opened(bank), ("spend_v3",))


def test_a_project_whose_views_nobody_reads_has_nothing_to_do(tmp_path):
    with pytest.raises(NothingToDo, match="no feature view is read"):
        wanted(project(tmp_path / "shop").workspace(), ())


def test_a_project_without_a_deployment_is_told_that_nothing_was_published(tmp_path):
    shop = project(tmp_path / "shop", settings="", views=VIEWS)
    frame = payments(600).drop(columns="items")
    frame.to_parquet(shop.root / "payments.parquet")
    columns = "\n".join(f"  {name}: {{dtype: '{frame[name].dtype}', nullable: true}}" for name in frame)
    (shop.root / "features" / "payments.schema.yaml").write_text(f"schema_type: dataframe\ncolumns:\n{columns}\n")
    ran = called(shop.root, "windowed_v1")
    assert "windowed_v1: 1 part, 1 computed" in ran.stdout
    assert "nothing was published" in ran.stdout


def test_it_is_safe_beside_another_one_and_beside_readers(bank):
    pay(bank, 900.0)
    seen: list[bool] = []
    over = threading.Event()
    file = chosen.local(small.opened(bank), "staging").online

    def read() -> None:
        reader = OnlineReader(file)
        while not over.is_set():
            seen.append(bool(reader.read("spend_v1", [CUSTOMER], time.time())[0]))
            time.sleep(0.005)

    thread = threading.Thread(target=read)
    thread.start()
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "mlops", "materialize"],
            cwd=bank,
            env=small.variables(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    ends = [process.communicate(timeout=240)[1] for process in both]
    over.set()
    thread.join()
    assert [process.returncode for process in both] == [0, 0], ends
    assert all(seen)
    assert len(seen) > 10
