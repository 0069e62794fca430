"""The bill of materials: valid, complete, and the same bytes for the same model."""

from __future__ import annotations

import json
import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mlops.adapters import sbom
from mlops.adapters.index import Index
from tests import small

HASH = "a" * 64


@pytest.fixture(scope="module")
def told(released, tmp_path_factory):
    """The document of the released project, written by the command; and its text."""
    root = tmp_path_factory.mktemp("sbom") / "shop"
    shutil.copytree(released[0], root)
    lock = f"numpy=={metadata.version('numpy')} ; python_version > '3' \\\n    --hash=sha256:{HASH} \\\n    # via x\n"
    (root / "requirements.lock").write_text(lock)
    for name in ("one", "two"):
        ended = small.mlops(root, "package", "churn_v1", "--sbom", f"{name}.cdx.json")
        assert ended.returncode == 0, ended.stderr
    assert (root / "one.cdx.json").read_bytes() == (root / "two.cdx.json").read_bytes()
    text = (root / "one.cdx.json").read_text(encoding="utf-8")
    return root, json.loads(text), text


def of_type(document: dict, kind: str) -> dict[str, dict]:
    return {one["name"]: one for one in document["components"] if one["type"] == kind}


def test_it_is_what_the_schema_of_cyclonedx_wants(told):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(told[2]) is None
    broken = told[2].replace('"machine-learning-model"', '"thinking-machine"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_every_package_of_the_bento_is_in_it_with_version_and_licence(told):
    root, document, _ = told
    index = Index(root / ".mlops/index.db")
    listing = json.loads((stored(root, index.latest("package", "churn_v1").outputs["bento"])).read_bytes())
    requirements = stored(root, listing["env/python/requirements.txt"]).read_text().split()
    packages = of_type(document, "library")
    assert {f"{name}=={one['version']}" for name, one in packages.items()} == {
        re.sub(r"[-_.]+", "-", line.lower().partition("==")[0]) + "==" + line.partition("==")[2]
        for line in requirements
    }
    assert packages["numpy"]["purl"] == f"pkg:pypi/numpy@{metadata.version('numpy')}"
    licensed = [name for name, one in packages.items() if one.get("licenses")]
    assert len(licensed) >= 0.95 * len(packages), set(packages) - set(licensed)
    assert packages["numpy"]["externalReferences"][0]["hashes"] == [{"alg": "SHA-256", "content": HASH}]
    needs = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    assert packages["numpy"]["bom-ref"] in needs[packages["onnxruntime"]["bom-ref"]]


def stored(root: Path, digest: str) -> Path:
    return next(path for path in (root / ".mlops/store").rglob("*") if path.name in (digest, digest[2:]))


def test_the_model_has_a_card_with_its_metrics_parameters_and_data(told):
    root, document, _ = told
    index = Index(root / ".mlops/index.db")
    (model,) = of_type(document, "machine-learning-model").values()
    judged = index.latest("check-model", "churn_v1")
    card = model["modelCard"]
    metrics = {one["type"]: float(one["value"]) for one in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert metrics == judged.metrics
    assert card["modelParameters"]["task"] == "binary classification"
    assert "LogisticRegression" in card["modelParameters"]["modelArchitecture"]
    assert {"format": "city: string"} in card["modelParameters"]["inputs"]
    data = of_type(document, "data")
    assert [one["ref"] for one in card["modelParameters"]["datasets"]] == [
        "data:customers", "data:train rows", "data:holdout rows",
    ]  # fmt: skip
    assert data["customers"]["hashes"][0]["content"] == index.latest("snapshot", "customers").outputs["data"]
    files = {one["name"]: one["hashes"][0]["content"] for one in model["components"]}
    release = next((root / ".mlops/releases").glob("churn_v1-*"))
    manifest = json.loads((release / "manifest.json").read_bytes())
    assert files["model.onnx"] == manifest["files"]["bento/src/release/model.onnx"]
    assert {"name": "mlops:parameter:seed", "value": "42"} in model["properties"]
    assert document["metadata"]["component"]["version"] == model["version"]


def test_nothing_in_it_is_of_today(told):
    _, document, text = told
    assert "timestamp" not in document["metadata"]
    assert str(told[0]) not in text


def test_it_names_no_metric_of_another_model(told):
    root = told[0]
    small.edit(root / "models/churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.3)")
    ended = small.mlops(root, "package", "churn_v1", "--sbom", "other.cdx.json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.rstrip().endswith("3 tables, 0 metrics")
    other = json.loads((root / "other.cdx.json").read_bytes())
    assert other["serialNumber"] != told[1]["serialNumber"]


def test_several_models_need_several_files(bank):
    ended = small.mlops(bank, "package", "fraud_v1", "fraud_v2", "--sbom", "s.json")
    assert ended.returncode == 2
    assert "{model}.cdx.json" in ended.stderr


def test_a_lock_file_is_read_as_installers_read_it(tmp_path):
    (tmp_path / "requirements.txt").write_text(
        "# by hand\n-i somewhere\nScikit_Learn[extra]==1.6.0 \\\n  --hash=sha256:" + HASH + "\nplain>=2\n"
    )
    assert sbom.locked_hashes(tmp_path) == {"scikit-learn==1.6.0": (HASH,)}
    assert sbom.locked_hashes(tmp_path / "none") == {}
