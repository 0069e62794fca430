from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from mlops.errors import DeploymentFailed
from mlops.release import BENTO, PAYLOAD
from mlops.serving.predictors import Prediction
from mlops.serving.refusal import Refused
from mlops.serving.runtime import _ENCODERS, load_payload, load_release
from mlops.stores.exchange import publish
from tests.serving.releases import VIEW, contract, make_release, seal


@pytest.fixture
def first(made):
    release = load_release(made.releases, made.first, made.online)
    yield release
    release.close()


def ask(release, *requests):
    return release.answer(release.decoder.convert(list(requests)))


def test_an_answer_names_its_release_and_a_probability(first, made):
    (answer,) = ask(first, {"customer_id": 1, "amount": 12.5})
    assert answer["release"] == made.first
    assert answer["prediction"] in (0, 1)
    assert 0.0 <= answer["probability"] <= 1.0


def test_many_rows_are_answered_as_each_alone(first):
    requests = [{"customer_id": i, "amount": 10.0 * i} for i in range(5)]
    together = ask(first, *requests)
    alone = [ask(first, request)[0] for request in requests]
    for one, other in zip(together, alone, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-12)


def test_two_releases_answer_side_by_side_with_their_own_features(first, made):
    second = load_release(made.releases, made.second, made.online)
    request = {"customer_id": 2, "amount": 50.0}
    before = ask(first, request)[0]["probability"]
    assert ask(second, request)[0]["probability"] != before
    assert ask(first, request)[0]["probability"] == before
    second.close()


def test_stored_features_are_read_when_the_request_comes(made, tmp_path):
    online = tmp_path / "online.sqlite"
    release = load_release(made.releases, made.first, online)
    request = {"customer_id": 1, "amount": 30.0}
    without = ask(release, request)[0]["probability"]
    publish(online, VIEW, "customer_id", [{"customer_id": 1, "mean_7d": 500.0}])
    assert ask(release, request)[0]["probability"] != without
    release.close()


def test_a_number_beyond_the_model_is_refused_and_never_answered(tmp_path, monkeypatch):
    """Promise 17."""
    name = make_release(tmp_path, contract("total_v1", computed=False, stored=False, task="regression"))
    release = load_release(tmp_path, name, None)
    assert math.isfinite(ask(release, {"amount": 3.0})[0]["prediction"])
    infinite = Prediction(np.array([[np.inf]]), None)
    monkeypatch.setattr(release._predictor, "predict", lambda columns: infinite)
    with pytest.raises(Refused, match="no finite number") as caught:
        ask(release, {"amount": 1e308})
    assert caught.value.status == 422


def test_a_release_that_answers_otherwise_than_when_packaged_is_refused(tmp_path):
    """Promise 9."""
    name = make_release(tmp_path)
    golden = tmp_path / name / PAYLOAD / "golden.json"
    cases = json.loads(golden.read_text())
    cases[2]["answer"]["probability"] += 0.01
    golden.write_text(json.dumps(cases))
    with pytest.raises(DeploymentFailed, match="golden request 2"):
        load_release(tmp_path, reseal(tmp_path, name), None)


def test_a_release_without_golden_requests_is_refused(tmp_path):
    name = make_release(tmp_path)
    (tmp_path / name / PAYLOAD / "golden.json").write_text("[]")
    with pytest.raises(DeploymentFailed, match="no golden request"):
        load_release(tmp_path, reseal(tmp_path, name), None)


@pytest.mark.parametrize("name", ["mean_7d", "ratio_v1"])
def test_a_request_field_that_is_called_as_a_feature_is_refused(tmp_path, name):
    agreed = contract()
    field = replace(agreed.fields[1], name=name, nullable=True)
    folder = tmp_path / make_release(tmp_path) / PAYLOAD
    (folder / "contract.json").write_bytes(msgspec.json.encode(replace(agreed, fields=(*agreed.fields, field))))
    with pytest.raises(DeploymentFailed, match=f"reads two columns called '{name}'"):
        load_payload(folder, folder.parent, release="clash", online=None)


def test_a_request_cannot_give_a_stored_feature_itself(first):
    with pytest.raises(Refused, match="mean_7d"):
        ask(first, {"customer_id": 1, "amount": 1.0, "mean_7d": 5.0})


def test_a_release_whose_code_raises_is_refused(tmp_path):
    name = make_release(tmp_path)
    (tmp_path / name / BENTO / "src" / "features" / "money.py").write_text("raise RuntimeError('no such table')")
    with pytest.raises(DeploymentFailed, match="no such table"):
        load_release(tmp_path, reseal(tmp_path, name), None)


def test_a_damaged_release_is_refused_before_its_code_runs(tmp_path):
    """Promise 10."""
    name = make_release(tmp_path)
    source = tmp_path / name / BENTO / "src" / "features" / "money.py"
    source.write_text("open('ran', 'w')\n" + source.read_text())
    with pytest.raises(DeploymentFailed, match=r"money\.py was changed"):
        load_release(tmp_path, name, None)


def test_a_release_without_on_demand_features_needs_no_pandas(made):
    program = (
        "import sys; from pathlib import Path; from mlops.serving.runtime import load_release;"
        "r = load_release(Path(sys.argv[1]), sys.argv[2], None);"
        "print(r.answer(r.decoder.convert([{'amount': 1.0}]))); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(made.releases), made.plain], check=True)


def test_a_payload_alone_is_loaded_as_well(made):
    folder = made.releases / made.plain
    release = load_payload(folder / PAYLOAD, folder / BENTO / "src", release="mine", online=None)
    assert ask(release, {"amount": 1.0})[0]["release"] == "mine"


def reseal(releases, name):
    folder = (releases / name).rename(releases / ".staging")
    (folder / "manifest.json").unlink()
    return seal(releases, folder, name.rpartition("-")[0])


def test_a_classifier_without_probabilities_answers_its_label_alone(first, made, monkeypatch):
    monkeypatch.setattr(first._predictor, "predict", lambda columns: Prediction(np.array([1]), None))
    assert ask(first, {"customer_id": 1, "amount": 1.0}) == [{"prediction": 1, "release": made.first}]


def test_several_classes_get_a_probability_each_by_name():
    agreed = replace(contract(), task="multiclass", classes=("a", "b", "c"))
    prediction = Prediction(np.array(["c"]), np.array([[0.1, 0.2, 0.7]]))
    (answer,) = _ENCODERS["multiclass"](prediction, agreed, "r")
    assert answer == {"prediction": "c", "probabilities": {"a": 0.1, "b": 0.2, "c": 0.7}, "release": "r"}
