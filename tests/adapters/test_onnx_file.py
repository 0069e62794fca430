"""ONNX files: what our converter writes is served, what reads other files or wants foreign code is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlops.adapters.files import digest_bytes
from mlops.adapters.onnx_file import demand_self_contained
from mlops.contract import Column, Contract
from mlops.errors import GateFailed
from mlops.serving.predictors import ONNX_FILE, SKOPS_FACTS, SKOPS_FILE, OnnxPredictor, load_predictor
from tests.adapters import hostile

CONTRACT = Contract(
    model="m_v1", task="regression", metric="r2", label="y", classes=(), fields=(), stored=(), computed=(),
    columns=(Column(name="x", kind="number"),),
)  # fmt: skip


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every hostile graph by name; the file that some want to read is there, and holds one number."""
    secret = tmp_path_factory.mktemp("graphs") / "secret"
    secret.write_bytes(np.array([7.0]).tobytes())
    return hostile.graphs(secret)


@pytest.mark.parametrize("kind", hostile.graphs(Path("secret")))
def test_a_hostile_graph_is_refused_in_a_sentence(
    kind: str, graphs: dict[str, bytes], tmp_path: Path, monkeypatch
) -> None:
    """Promise 11: no other file is read and no foreign code is loaded, wherever the service stands."""
    (tmp_path / "secret").write_bytes(np.array([7.0]).tobytes())
    monkeypatch.chdir(tmp_path)
    (tmp_path / ONNX_FILE).write_bytes(graphs[kind])
    with pytest.raises(GateFailed, match=ONNX_FILE) as refused:
        load_predictor(tmp_path, CONTRACT)
    assert refused.value.next_step
    assert not (tmp_path / "canary").exists()


def test_onnx_runtime_itself_would_read_the_file_beside_it(
    graphs: dict[str, bytes], tmp_path: Path, monkeypatch
) -> None:
    """Else the test above would prove nothing."""
    import onnxruntime

    (tmp_path / "secret").write_bytes(np.array([7.0]).tobytes())
    data = graphs["weights in a file beside it"]
    (tmp_path / ONNX_FILE).write_bytes(data)
    session = onnxruntime.InferenceSession(str(tmp_path / ONNX_FILE), providers=["CPUExecutionProvider"])
    assert session.run(None, {"numbers": np.zeros((1, 1))})[0].tolist() == [[7.0]]
    with pytest.raises(GateFailed, match="another file"):
        OnnxPredictor(data, CONTRACT)


def test_what_our_converter_writes_is_self_contained() -> None:
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    from mlops.adapters import onnx

    frame = pd.DataFrame({"x": np.arange(50.0)})
    for estimator in (LinearRegression(), HistGradientBoostingRegressor(max_iter=3)):
        demand_self_contained(onnx.convert(estimator.fit(frame, frame.x), CONTRACT))


def test_a_list_of_types_that_travels_with_a_model_does_not_open_the_door(tmp_path: Path) -> None:
    """Promise 11: the model's own facts, which lie beside it, list what it wants to run."""
    canary = tmp_path / "canary"
    data = hostile.of(hostile.call("posix.system", f"touch {canary}"))
    (tmp_path / SKOPS_FILE).write_bytes(data)
    (tmp_path / SKOPS_FACTS).write_text(f'{{"digest": "{digest_bytes(data)}", "trusted": ["posix.system"]}}')
    with pytest.raises(GateFailed, match=r"posix\.system"):
        load_predictor(tmp_path, CONTRACT)
    assert not canary.exists()
