"""What must matter to a key matters, and what must not does not."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time

import msgspec
import pytest

from mlops import ingredients, keys
from mlops.config import Source
from mlops.verdict import Record
from tests import small

FEATURES = """
from mlops import feature_view, on_demand

FACTOR = 2


@feature_view(source="customers", entity="visits", timestamp="at", ttl="30d")
def spend_v1(customers):
    return customers * FACTOR


@on_demand(inputs=["amount", "spend_v1.mean"])
def ratio_v1(amount, mean):
    return amount / mean
"""
MODELS = """
from mlops import check, model
from features.shop import ratio_v1, spend_v1


@model(source="customers", label="left", label_delay="7d", features=[spend_v1, ratio_v1], segments=["city"])
def churn_v1(X, y, params):
    return None


@check(on="model")
def kind(model):
    return True
"""
TESTS = "def test_spend():\n    assert True\n"
OWN_TESTS = {
    f"tests/{on}/test_{on}.py": f"from tests.limits import LIMIT\n{TESTS}" for on in ("data", "model", "service")
}
SNAPSHOT = Record(step="snapshot", subject="customers", outputs={"data": "d" * 64})
ASSEMBLED = Record(step="assemble", subject="churn_v1", outputs={"train": "a" * 64, "holdout": "b" * 64})
BENTO = Record(step="package", subject="churn_v1", outputs={"bento": "c" * 64})


@pytest.fixture
def root(tmp_path):
    root = small.churn(tmp_path / "shop", models=MODELS)
    return small.write(
        root,
        {
            "features/shop.py": FEATURES,
            "tests/features/test_shop.py": f"from tests.amounts import AMOUNT\n{TESTS}",
            "tests/features/amounts.csv": "1\n",
            "tests/amounts.py": "AMOUNT = 1\n",
            **OWN_TESTS,
            "tests/limits.py": "LIMIT = 1\n",
        },
    )


def made(root):
    """The key of every step, as a new process would compute it."""
    space = small.opened(root)
    model = space.catalog.models["churn_v1"]
    view = space.catalog.views["spend_v1"]
    settings = space.config.settings("churn", "churn_v1")
    sources = ingredients.travelling(space, model)
    parts = {
        "check-features": ingredients.tested(space, space.catalog, [SNAPSHOT], []),
        "check-data": ingredients.source_judged(space, "customers", SNAPSHOT, [model]),
        "check-table": ingredients.table_judged(space, model, ASSEMBLED, "champion"),
        "build-features": ingredients.built(space, view, SNAPSHOT),
        "assemble": ingredients.joined(space, model, [SNAPSHOT], settings),
        "train": ingredients.fitted(space, model, ASSEMBLED, settings),
        "check-model": ingredients.judged(space, model, [ASSEMBLED], settings, "champion"),
        "package": ingredients.packaged(space, model, [ASSEMBLED], sources),
        "check-service": ingredients.booted(space, [BENTO], "champion"),
    }
    return {step: keys.key_of(step, values) for step, values in parts.items()}


JUDGING = {"check-data", "check-table", "check-model"}
FEATURES_ON = {"check-features", "build-features", "train", "package"}
ON_DEMAND_ON = {"check-features", "assemble", "train", "check-model", "package"}
DELAY_ON = {"check-features", "assemble", "train", "package"} | JUDGING
SEVERE = 'severity = { "data.sides" = "fail" }'
EDITS = [
    ("features/shop.py", "FACTOR = 2", "FACTOR = 3", FEATURES_ON),
    ("features/shop.py", "amount / mean", "amount * mean", ON_DEMAND_ON),
    ("features/shop.py", 'ttl="30d"', 'ttl="7d"', FEATURES_ON | {"assemble"}),
    ("features/shop.py", "FACTOR = 2", "# why\nFACTOR = 2", {"package"}),
    ("models/churn.py", "return None", "return X", {"train", "package"}),
    ("models/churn.py", 'label_delay="7d"', 'label_delay="9d"', DELAY_ON - {"check-data"}),
    ("models/churn.py", 'segments=["city"]', "segments=[]", {"assemble", "package"} | JUDGING - {"check-data"}),
    ("models/churn.py", "return True", "return False", {"package"} | JUDGING),
    ("tests/features/test_shop.py", "True", "not False", {"check-features"}),
    ("tests/data/test_data.py", "True", "not False", {"check-data"}),
    ("tests/model/test_model.py", "True", "not False", {"check-model"}),
    ("tests/service/test_service.py", "True", "not False", {"check-service"}),
    ("tests/limits.py", "1", "2", {"check-data", "check-model", "check-service"}),
    ("tests/amounts.py", "1", "2", {"check-features"}),
    ("tests/amounts.py", "AMOUNT = 1", "# euros\nAMOUNT = 1", set()),
    ("tests/features/amounts.csv", "1", "2", {"check-features"}),
    ("features/customers.schema.yaml", "strict: true", "strict: false", {"check-data"}),
    ("pyproject.toml", "floor = 0.6", "floor = 0.7", {"check-model"}),
    ("pyproject.toml", "margin = 0.2", "margin = 0.1", {"check-model"}),
    ("pyproject.toml", "margin = 0.2", "margin = 0.2\nholdout = 0.3", {"assemble"}),
    ("pyproject.toml", "margin = 0.2", "margin = 0.2\nparams = { depth = 3 }", {"train"}),
    ("pyproject.toml", "margin = 0.2", "margin = 0.2\ntrials = 4", {"train"}),
    ("pyproject.toml", "deepchecks = false", "deepchecks = true", JUDGING),
    ("pyproject.toml", "deepchecks = false", f"deepchecks = false\n{SEVERE}", {"train"} | JUDGING),
    ("pyproject.toml", "deepchecks = false", "deepchecks = false\nseed = 7", {"train", "check-service"} | JUDGING),
    ("pyproject.toml", "qps = 1", "qps = 2", {"check-service"}),
    ("pyproject.toml", "[tool.mlops.load]", '[tool.mlops.package]\nform = "skops"\n[tool.mlops.load]', {"package"}),
    ("pyproject.toml", 'name = "shop"', 'name = "store"', set()),
    ("bentofile.yaml", 'service: "', 'labels: {team: x}\nservice: "', {"package"}),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "affected"), EDITS)
def test_a_change_reaches_the_keys_of_the_steps_that_read_it_and_no_other(root, file, old, new, affected):
    before = made(root)
    small.edit(root / file, old, new)
    after = made(root)
    assert {step for step in before if before[step] != after[step]} == affected


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package, in a version; gives what does so."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def install(version):
        for left in (tmp_path / "site").glob("far_away-*"):
            shutil.rmtree(left)
        about = f"far_away-{version}.dist-info"
        small.write(
            tmp_path / "site",
            {
                "faraway/__init__.py": "def same(x):\n    return x\n",
                f"{about}/METADATA": f"Metadata-Version: 2.1\nName: far-away\nVersion: {version}\n",
                f"{about}/RECORD": "faraway/__init__.py,,\n",
            },
        )
        for known in (keys._distributions, keys._provided):
            known.cache_clear()

    install("1.0")
    yield install
    for known in (keys._distributions, keys._provided):
        known.cache_clear()
    sys.modules.pop("faraway", None)


FROM_AWAY = "from faraway import same\n"
PLACES = [
    ("features/shop.py", "customers * FACTOR", "same(customers)", FEATURES_ON | {"check-model"}),
    ("features/shop.py", "amount / mean", "same(amount)", ON_DEMAND_ON),
    ("models/churn.py", "return None", "return same(X)", {"train", "check-model", "package"}),
    ("models/churn.py", "return True", "return same(True)", JUDGING),
    ("tests/model/test_model.py", "True", "same(True)", {"check-model"}),
    ("tests/amounts.py", "1", "same(1)", {"check-features"}),
]


@pytest.mark.parametrize(("file", "old", "new", "affected"), PLACES)
def test_another_version_of_a_package_reaches_the_steps_whose_code_uses_it(root, installed, file, old, new, affected):
    text = (root / file).read_text()
    (root / file).write_text(FROM_AWAY + text)
    small.edit(root / file, old, new)
    before = made(root)
    installed("2.0")
    after = made(root)
    assert {step for step in before if before[step] != after[step]} == affected


@pytest.mark.parametrize("how", ["import faraway", "import faraway as far", "def inside():\n    import faraway"])
def test_a_package_counts_however_it_is_imported_and_only_where_it_is_used(root, installed, how):
    name = how.rpartition(" ")[2]
    call = "inside()" if "inside" in how else f"{name}.same"
    if "inside" in how:
        how = "def inside():\n    import faraway\n    return faraway.same"
    file = root / "features/shop.py"
    file.write_text(f"{how}\n{file.read_text()}")
    unused = made(root)
    installed("1.5")
    assert made(root) == unused
    small.edit(file, "customers * FACTOR", f"{call}(customers)")
    before = made(root)
    installed("2.0")
    assert made(root)["build-features"] != before["build-features"]
    assert made(root)["assemble"] == before["assemble"]


def test_a_source_s_function_is_another_one_with_another_version_of_what_it_calls(root, installed):
    small.write(root, {"features/maker.py": "import faraway\ndef rows():\n    return faraway.same(1)\n"})
    source = Source(function="features.maker:rows", max_age="52w")
    first = ingredients.origin(source, root)
    installed("2.0")
    assert ingredients.origin(source, root) != first


def test_the_place_of_the_project_reaches_no_key(root, tmp_path):
    other = tmp_path / "deeper" / "elsewhere"
    other.parent.mkdir()
    before = made(root)
    root.rename(other)
    assert made(other) == before


def test_another_champion_is_another_judgement(root):
    space = small.opened(root)
    model = space.catalog.models["churn_v1"]
    settings = space.config.settings("churn", "churn_v1")
    for judged in (
        lambda champion: ingredients.table_judged(space, model, ASSEMBLED, champion),
        lambda champion: ingredients.judged(space, model, [ASSEMBLED], settings, champion),
        lambda champion: ingredients.booted(space, [ASSEMBLED], champion),
    ):
        assert judged("one") != judged("other")


def test_the_order_of_a_mapping_is_no_ingredient():
    assert keys.key_of("train", {"a": 1, "b": {"c": 2, "d": 3}}) == keys.key_of(
        "train", {"b": {"d": 3, "c": 2}, "a": 1}
    )


def test_what_travels_in_a_bento_is_the_closure_and_its_packages(root):
    space = small.opened(root)
    travelling = ingredients.travelling(space, space.catalog.models["churn_v1"])
    assert travelling == ("features/__init__.py", "features/shop.py", "models/__init__.py", "models/churn.py")


def test_a_young_snapshot_of_a_function_is_taken_anew_when_the_function_changes(root):
    """It would otherwise stay for `max_age`, whatever the function gives now."""
    small.write(root, {"features/maker.py": "def rows():\n    return 1\n"})
    source = Source(function="features.maker:rows", max_age="52w")
    first = ingredients.origin(source, root)
    assert ingredients.origin(msgspec.structs.replace(source, max_age="1d"), root) == first
    time.sleep(0.01)
    small.edit(root / "features/maker.py", "return 1", "return 2")
    assert ingredients.origin(source, root) != first
    assert ingredients.origin(msgspec.structs.replace(source, arguments={"seed": 1}), root) != first


def test_two_versions_with_one_label_ask_the_same_of_their_source(root):
    space = small.opened(root)
    model = space.catalog.models["churn_v1"]
    other = dataclasses.replace(model, name="churn_v2", segments=(), params={"depth": 9})
    asked = [
        ingredients.source_judged(space, "customers", SNAPSHOT, models) for models in ([model], [other], [model, other])
    ]
    assert asked[0] == asked[1] == asked[2]
    elsewhere = dataclasses.replace(model, label="another")
    assert ingredients.source_judged(space, "customers", SNAPSHOT, [elsewhere]) != asked[0]
