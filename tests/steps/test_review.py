from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.errors import ConfigError
from mlops.steps.review import review
from mlops.verdict import Outcome, Record
from tests import small
from tests.steps.projects import BOOSTED, ModelProject

FILE = "reviews/labels-risk_v1.csv"


def clear(rows: int = 1_200, wrong: int = 60) -> tuple[pd.DataFrame, list[int]]:
    """A table whose label follows from its inputs, and the rows whose label was turned over."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"id": np.arange(rows), "a": random.normal(size=rows), "b": random.normal(size=rows)})
    frame["y"] = np.where(frame.a + frame.b > 0, "good", "bad")
    sure = np.flatnonzero(np.abs(frame.a + frame.b) > 0.5)
    turned = random.choice(sure, wrong, replace=False)
    frame.loc[turned, "y"] = np.where(frame.y.iloc[turned] == "good", "bad", "good")
    return frame, sorted(turned.tolist())


class Reviewing:
    """A project with a table, and `mlops review` in this process."""

    def __init__(self, root: Path, frame: pd.DataFrame) -> None:
        self.project = ModelProject(root)
        self.model = self.project.declare(BOOSTED, "label='y', ignore=['id']")
        self.file = self.project.root / FILE
        self.frame = frame
        self.assembled = self.project.assemble(self.model, frame)
        self.trained = self.project.train(self.model, self.assembled)

    def review(self, most: int = 100):
        snapshot = Record(
            step="snapshot", subject="table", outputs={"data": self.project.workspace.put_frame(self.frame)}
        )
        return review(
            self.project.workspace,
            model=self.model,
            snapshot=snapshot,
            assembled=self.assembled,
            trained=self.trained,
            most=most,
        )

    def lines(self) -> list[dict[str, str]]:
        return list(csv.DictReader(self.file.read_text(encoding="utf-8").splitlines()))

    def correct(self, line: int, value: str) -> None:
        """Write `value` into the column `corrected` of a line, as a person would."""
        rows = self.lines()
        rows[line]["corrected"] = value
        pd.DataFrame(rows).to_csv(self.file, index=False)


@pytest.fixture(scope="module")
def wrong() -> tuple[pd.DataFrame, list[int]]:
    return clear()


@pytest.fixture
def reviewing(tmp_path: Path, wrong: tuple[pd.DataFrame, list[int]]) -> Reviewing:
    return Reviewing(tmp_path / "project", wrong[0])


def test_labels_that_were_turned_over_are_listed_with_what_they_should_be(reviewing, wrong):
    written = reviewing.review()
    found = {int(line["id"]) for line in reviewing.lines()}
    planted = set(wrong[1])
    assert written.finding.outcome is Outcome.FAIL
    assert "pipeline" in written.by
    assert len(found & planted) / len(planted) > 0.9
    assert len(found & planted) / len(found) > 0.7
    assert all(line["suggested"] != line["label"] and line["corrected"] == "" for line in reviewing.lines())


def test_the_worst_come_first_and_no_more_than_asked_for(reviewing):
    written = reviewing.review(most=5)
    assert (written.listed, len(reviewing.lines())) == (5, 5)
    assert written.found > 5


def test_what_people_wrote_stays_when_the_review_runs_again(reviewing):
    reviewing.review(most=10)
    reviewing.correct(3, reviewing.lines()[3]["suggested"])
    judged = reviewing.lines()[3]
    written = reviewing.review(most=10)
    assert written.kept == 1
    assert reviewing.lines()[0] == judged
    assert [line["row"] for line in reviewing.lines()].count(judged["row"]) == 1


def test_a_correction_reaches_training_and_held_out_rows_and_the_record(reviewing):
    reviewing.review(most=40)
    for line in range(40):
        reviewing.correct(line, reviewing.lines()[line]["suggested"])
    wished = {int(line["id"]): line["corrected"] for line in reviewing.lines()}
    record = reviewing.project.assemble(reviewing.model, reviewing.frame)
    sides = [reviewing.project.workspace.frame(record.outputs[side]) for side in ("train", "holdout")]
    for side in sides:
        mine = side[side["id"].isin(list(wished))]
        assert len(mine) > 0
        assert mine["y"].tolist() == [wished[one] for one in mine["id"]]
    assert record.metrics["labels_corrected"] == 40
    assert list(record.facts["review"]) == [FILE]
    assert any(f.check == "training-set.reviewed" and "40 labels" in f.message for f in record.verdict.findings)


def test_a_label_that_people_call_right_is_no_longer_doubted(reviewing):
    reviewing.review(most=1)
    reviewing.correct(0, reviewing.lines()[0]["label"])
    judged = reviewing.lines()[0]["row"]
    reviewing.assembled = reviewing.project.assemble(reviewing.model, reviewing.frame)
    assert reviewing.assembled.metrics["labels_corrected"] == 0
    reviewing.review()
    assert [line["row"] for line in reviewing.lines()].count(judged) == 1


def test_sound_labels_leave_no_file(tmp_path):
    frame, _ = clear(wrong=0)
    frame = frame[np.abs(frame.a + frame.b) > 0.5].reset_index(drop=True)
    sound = Reviewing(tmp_path / "project", frame)
    written = sound.review()
    assert (written.file, written.listed) == ("", 0)
    assert not sound.file.exists()
    assert written.finding.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("row;label\n", ":1: the columns begin with row;label"),
        ("row,label,suggested,confidence,corrected\nid=1,good\n", ":2: it has 2 cells"),
        ('row,label,suggested,confidence,corrected\n"id=1,good\n', ":2:"),
        ("", ":1: the columns begin with nothing"),
    ],
)
def test_a_file_that_is_no_review_is_an_error_with_its_line(reviewing, text, said):
    reviewing.file.parent.mkdir()
    reviewing.file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        reviewing.project.assemble(reviewing.model, reviewing.frame)
    assert f"{FILE}{said}" in caught.value.message
    assert caught.value.next_step


def test_a_correction_makes_another_release_and_stands_in_its_lineage(shop):
    """From `mlops review` to the release: the file's digest is in the key of the table and in the manifest."""
    said = small.mlops(shop, "review", "churn_v1", "--most", "3")
    assert said.returncode == 0, said.stderr
    file = shop / "reviews/labels-churn_v1.csv"
    lines = list(csv.DictReader(file.read_text().splitlines()))
    assert "reviews/labels-churn_v1.csv: 3" in said.stdout
    lines[0]["corrected"] = lines[0]["suggested"]
    pd.DataFrame(lines).to_csv(file, index=False)
    ran = small.go(shop)
    assert not ran.errors, str(ran)
    assert "assemble:churn_v1" in ran.computed
    [release] = ran.report.releases
    shown = small.mlops(shop, "lineage", release).stdout
    assert "reviews/labels-churn_v1.csv" in shown
