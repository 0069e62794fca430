"""The journey of the real tables on scikit-learn's bundled ones, which are everywhere; and back again."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Self

import pytest
import requests
from sklearn import datasets

from tests.acceptance.journeys import demand_golden_answers, golden, mlops, serving

pytestmark = pytest.mark.acceptance


def write(name: str, folder: Path) -> Path:
    table = getattr(datasets, f"load_{name}")(as_frame=True).frame
    table.to_csv(folder / f"{name}.csv", index=False)
    return folder / f"{name}.csv"


@pytest.mark.parametrize(("name", "task"), [("wine", "multiclass"), ("diabetes", "regression")])
def test_a_bundled_table_becomes_a_release_that_answers(name, task, tmp_path, journey):
    project = journey(name, write(name, tmp_path), "target")
    assert f'task="{task}"' in (project / f"models/{name}.py").read_text()


def test_up_and_back_again_with_requests_in_flight(tmp_path, journey):
    project = journey("cancer", write("breast_cancer", tmp_path), "target")
    (first,) = [p.name for p in (project / ".mlops/releases").iterdir() if p.name.startswith("cancer_v1-")]

    again = mlops("run", "--json", cwd=project)
    assert again.code == 0, again
    assert again.json["releases"] == [first], "the same work gives the same release"

    settings = project / "pyproject.toml"
    # 114 rows are held out: only a wide margin lets them prove that one model is not worse than another.
    settings.write_text(settings.read_text().replace("floor =", "margin = 0.2\nparams = { rounds = 60 }\nfloor ="))
    with serving(project) as address, Asking(address, golden(project, first)[0]["request"]) as asking:
        ran = mlops("run", "--json", "--reason", "fewer rounds", cwd=project)
        assert ran.code == 0, ran
        (second,) = ran.json["deployed"]
        assert second != first
        asking.until(second)

        back = mlops("rollback", "staging", "--reason", "just to see", "--json", cwd=project)
        assert back.code == 0, back
        asking.until(first)
        demand_golden_answers(project, first, address)
    assert asking.failed == []
    assert asking.answered > 20

    (standing,) = mlops("status", "staging", "--json", cwd=project).json
    family = standing["families"][0]
    assert family["standing"]["live"] == first
    assert [event["action"] for event in family["history"]][:2] in (["rollback", "deploy"], ["deploy", "deploy"])


class Asking:
    """A caller that asks all the time and keeps what went wrong; a context manager."""

    def __init__(self, address: str, request: dict) -> None:
        self.failed: list[str] = []
        self.answered = 0
        self._address, self._request = address, request
        self._over, self._seen = threading.Event(), ""
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def until(self, release: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self._seen != release:
            assert time.monotonic() < deadline, f"{release} does not answer, but {self._seen}"
            time.sleep(0.05)

    def _ask(self) -> None:
        with requests.Session() as session:
            while not self._over.wait(0.05):
                try:
                    answer = session.post(f"{self._address}/predict", json=self._request, timeout=10)
                    answer.raise_for_status()
                    self._seen = answer.json()["release"]
                    self.answered += 1
                except (requests.RequestException, KeyError) as error:
                    self.failed.append(str(error))
