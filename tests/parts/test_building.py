"""A history in parts is the history of the whole, and only what a change touches is computed again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from mlops.errors import GateFailed
from tests.parts.payments import VIEWS, Payments, payments, project, whole
from tests.small import variables

DAY = pd.Timedelta(days=1)


@pytest.fixture
def shop(tmp_path: Path) -> Payments:
    return project(tmp_path / "shop")


@pytest.mark.parametrize("rows", [150, 1100, 2999, 3000])
@pytest.mark.parametrize("name", ["windowed_v1", "whole_past_v1", "too_short_v1", "over_all_v1"])
def test_the_result_of_any_parts_is_that_of_the_whole(tmp_path, rows, name):
    shop = project(tmp_path / "shop", settings=f"rows = {rows}\nworkers = 1")
    frame = payments().sample(frac=1, random_state=3)
    record = shop.build(name, frame)
    workspace = shop.workspace()
    assert_frame_equal(shop.features(record), whole(workspace.catalog.views[name], frame, workspace))
    if name == "over_all_v1":
        assert record.facts["parts"]["all"] == 1
    elif rows < 1000:
        assert record.facts["parts"]["all"] > 3


def test_a_small_table_is_one_part_and_one_call(tmp_path):
    shop = project(tmp_path / "shop", settings="")
    record = shop.build("windowed_v1", payments())
    assert len(shop.calls) == 1
    assert record.facts["parts"] == {"all": 1, "computed": 1, "why": ""}


def test_no_call_is_given_more_rows_than_the_setting_says(shop):
    record = shop.build("windowed_v1", payments())
    assert max(len(call["rows"]) for call in shop.computing(record)) <= 400


def test_what_is_known_is_not_computed_again(shop):
    first = shop.build("windowed_v1", payments())
    shop.forget_calls()
    again = shop.build("windowed_v1", payments().sample(frac=1, random_state=1))
    assert again.facts["parts"]["computed"] == again.facts["parts"]["calls"] == 0
    assert again.outputs == first.outputs


def test_a_late_event_recomputes_exactly_the_parts_that_it_touches(shop):
    frame = payments()
    shop.build("windowed_v1", frame)
    shop.forget_calls()
    late = frame.iloc[[1500]].assign(id=9999, at=frame["at"].iloc[1500] + pd.Timedelta(seconds=1))
    changed = pd.concat([frame, late], ignore_index=True)
    record = shop.build("windowed_v1", changed)
    moment, customer = late["at"].iloc[0], late["customer"].iloc[0]
    day = moment.floor("D")
    seen = [set(call["rows"]) for call in shop.computing(record)]
    assert seen, "something was computed"
    assert all(9999 in rows for rows in seen), "only slices that hold the event"
    period = {"day": 1, "week": 7, "month": 31}[record.facts["parts"]["period"]]
    touched = 1 + -(-7 // period)  # its own part, and those that look back to it
    assert 1 <= record.facts["parts"]["computed"] <= touched + 1
    read = changed[changed["id"].isin(set().union(*seen))]
    assert read["at"].min() >= day - (period + 7) * DAY
    assert read["at"].max() < day + (period * (touched + 1)) * DAY
    workspace = shop.workspace()
    assert_frame_equal(shop.features(record), whole(workspace.catalog.views["windowed_v1"], changed, workspace))
    assert int(customer) in shop.features(record)["customer"].tolist()


def test_a_correction_of_one_value_recomputes_its_bucket_alone(shop):
    frame = payments()
    shop.build("whole_past_v1", frame)
    shop.forget_calls()
    corrected = frame.copy()
    corrected.loc[100, "amount"] = 12345.0
    record = shop.build("whole_past_v1", corrected)
    computed = shop.computing(record)
    assert len(computed) == record.facts["parts"]["computed"] == 1
    assert 100 in computed[0]["rows"]


def test_a_new_day_computes_the_newest_parts_and_reads_no_older_rows_than_the_window(tmp_path):
    shop = project(tmp_path / "shop", settings="rows = 400\nworkers = 1")
    frame = payments()
    last = frame["at"].max().floor("D")
    shop.build("windowed_v1", frame[frame["at"] < last])
    shop.forget_calls()
    record = shop.build("windowed_v1", frame)
    assert 0 < record.facts["parts"]["computed"] < record.facts["parts"]["all"] / 2
    ids = {i for call in shop.computing(record) for i in call["rows"]}
    assert frame[frame["id"].isin(ids)]["at"].min() >= last - 15 * DAY
    workspace = shop.workspace()
    assert_frame_equal(shop.features(record), whole(workspace.catalog.views["windowed_v1"], frame, workspace))


def test_an_edit_of_the_function_computes_all_anew_and_a_comment_nothing(shop):
    shop.build("windowed_v1", payments())
    file = shop.root / "features/spend.py"
    file.write_text(
        file.read_text().replace("    return spend(payments, 7)", "    # a week\n    return spend(payments, 7)")
    )
    assert shop.build("windowed_v1", payments()).facts["parts"]["computed"] == 0
    file.write_text(file.read_text().replace("rolled.sum()", "rolled.max()"))
    record = shop.build("windowed_v1", payments())
    assert record.facts["parts"]["computed"] == record.facts["parts"]["all"]


def test_a_lost_object_is_computed_again(shop):
    record = shop.build("whole_past_v1", payments())
    store = shop.root / ".mlops/store"
    listing = shop.workspace().objects.get_json(record.outputs["features"])["parts"]
    (store / listing[0][:2] / listing[0][2:]).unlink()
    again = shop.build("whole_past_v1", payments())
    assert again.facts["parts"]["computed"] == 1
    assert again.outputs == record.outputs


def test_a_view_that_reads_other_entities_is_computed_whole_and_says_why(shop):
    record = shop.build("over_all_v1", payments())
    assert "reads the rows of other entities" in record.facts["parts"]["why"]
    assert len(shop.calls[-1]["rows"]) == 3000


def test_a_window_that_is_too_short_is_not_believed(shop):
    record = shop.build("too_short_v1", payments())
    assert record.facts["parts"]["period"] == "", "it is cut by entity alone"
    assert "looks back further than its window of 3d" in record.facts["parts"]["why"]


def test_rows_without_a_time_are_in_every_slice_of_their_entity(shop):
    frame = payments()
    frame.loc[50, "at"] = pd.NaT
    views = VIEWS.replace(
        'told("windowed_v1", payments)', 'told("windowed_v1", payments); payments = payments.dropna(subset=["at"])'
    )
    shop = project(shop.root, views=views)
    record = shop.build("windowed_v1", frame)
    workspace = shop.workspace()
    assert_frame_equal(shop.features(record), whole(workspace.catalog.views["windowed_v1"], frame, workspace))
    assert sum(50 in call["rows"] for call in shop.computing(record)) > 1


def test_progress_counts_the_parts(shop):
    said: list[str] = []
    record = shop.build("windowed_v1", payments(), progress=said.append)
    every = record.facts["parts"]["all"]
    assert said[0] == f"0 of {every} parts"
    assert said[-1] == f"{every} of {every} parts"
    assert len(said) > 3


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_users_in_a_part_names_the_line(tmp_path, workers):
    raising = """
    if payments["customer"].nunique() <= 10:  # fewer than in the sample and its halves: a bucket
        payments["nope"]
    return spend(payments, 7)
"""
    broken = VIEWS.replace("    return spend(payments, 7)\n", raising, 1)
    shop = project(tmp_path / "shop", settings=f"rows = 400\nworkers = {workers}", views=broken)
    with pytest.raises(GateFailed, match=r"features/spend.py:\d+: windowed_v1 raised KeyError: 'nope'"):
        shop.build("windowed_v1", payments())


def test_a_view_without_rows_and_one_without_values_are_refused(tmp_path):
    none = VIEWS.replace("    return spend(payments, 7)", "    return spend(payments, 7).head(0)", 1)
    with pytest.raises(GateFailed, match="returned no rows"):
        project(tmp_path / "a", views=none).build("windowed_v1", payments())
    empty = VIEWS.replace("    return spend(payments, 7)", "    return spend(payments, 7).assign(total=np.nan)", 1)
    with pytest.raises(GateFailed, match="returned no value at all in total"):
        project(tmp_path / "b", views=empty).build("windowed_v1", payments())


def test_processes_give_what_one_process_does(tmp_path):
    alone = project(tmp_path / "a").build("windowed_v1", payments())
    shop = project(tmp_path / "b", settings="rows = 400\nworkers = 2")
    record = shop.build("windowed_v1", payments())
    assert record.outputs == alone.outputs
    assert len({call["pid"] for call in shop.computing(record)}) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
import mlops.parts.building as building
import mlops.parts.computing as computing
from tests.parts.payments import Payments, payments

place, when = sys.argv[2], int(sys.argv[3])
module, name = {"written": (computing.history, "write"), "remembered": (building.Known, "add")}[place.split("-")[1]]
plain, count = getattr(module, name), 0

def counting(*arguments):
    global count
    count += 1
    if place.startswith("before") and count == when:
        os.kill(os.getpid(), signal.SIGKILL)
    result = plain(*arguments)
    if place.startswith("after") and count == when:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(module, name, counting)
Payments(Path(sys.argv[1])).build("windowed_v1", payments())
"""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the history is when nothing is killed."""
    return dict(project(tmp_path_factory.mktemp("one") / "shop").build("windowed_v1", payments()).outputs)


@pytest.mark.parametrize(
    ("place", "when"),
    [
        ("before-written", 1),
        ("after-written", 20),
        ("before-remembered", 2),
        ("after-remembered", 1),
        ("after-remembered", 4),
    ],
)
def test_a_build_that_is_killed_goes_on_where_it_stopped(shop, uninterrupted, place, when):
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(shop.root), place, str(when)]
    ended = subprocess.run(command, env=variables(PYTHONPATH=str(Path.cwd())), check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    record = shop.build("windowed_v1", payments())
    assert record.outputs == uninterrupted
    kept = when if place == "after-remembered" else 1 if place == "before-remembered" else None
    if kept is not None:
        assert record.facts["parts"]["computed"] <= record.facts["parts"]["all"] - kept
