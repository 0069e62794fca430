"""Declarations are found, and a mistake among them names file, line and the nearest right name."""

from __future__ import annotations

import pytest

from mlops.discover import discover
from mlops.errors import DeclarationError
from mlops.pyproject import load

SOURCE = '[tool.mlops.sources.orders]\npath = "orders.csv"\n'
FEATURES = """
    from mlops import feature_view, on_demand

    @feature_view(source="orders", entity="customer", timestamp="at", columns=["mean"])
    def spend_v1(orders):
        return orders

    @on_demand(inputs=["amount", "spend_v1.mean"])
    def ratio_v1(amount, mean):
        return amount / mean
"""
MODEL = """
    from features.shop import ratio_v1, spend_v1
    from mlops import model

    @model(source="orders", label="left", features=[spend_v1, ratio_v1])
    def churn_v1(X, y, params):
        return None

    @model(source="orders", label="left", features=["ratio_v1"])
    def churn_v2(X, y, params):
        return None
"""


def found(root):
    return discover(root, load(root))


def test_views_features_and_models_are_found_with_their_versions(project):
    catalog = found(project({"features/shop.py": FEATURES, "models/churn.py": MODEL}, SOURCE))
    assert list(catalog.views) == ["spend_v1"]
    assert [m.name for m in catalog.families()["churn"]] == ["churn_v1", "churn_v2"]
    assert catalog.model("churn").name == "churn_v2", "a family's name means its newest version"
    views, computed = catalog.pinned(catalog.models["churn_v2"])
    assert [v.name for v in views] == ["spend_v1"], "a view read through an on-demand feature is pinned too"
    assert [c.name for c in computed] == ["ratio_v1"]


def test_a_declared_function_is_still_a_plain_function(project):
    catalog = found(project({"features/shop.py": FEATURES}, SOURCE))
    assert catalog.on_demands["ratio_v1"](6, 3) == 2


@pytest.mark.parametrize(
    ("features", "model", "file", "says"),
    [
        (FEATURES.replace("def spend_v1", "def spend"), "", "shop.py:4", "spend_v1"),
        (FEATURES.replace('source="orders"', 'source="ordres"'), "", "shop.py:4", "did you mean 'orders'?"),
        (FEATURES.replace("spend_v1.mean", "spend_v1.maen"), "", "shop.py:8", "did you mean 'mean'?"),
        (FEATURES.replace('"spend_v1.mean"', '"spent_v1.mean"'), "", "shop.py:8", "did you mean 'spend_v1'?"),
        (FEATURES.replace('"amount", ', ""), "", "shop.py:8", "one input for each argument"),
        (FEATURES + "\n    1 / 0\n", "", "shop.py:12", "ZeroDivisionError"),
        (FEATURES + "\n    def (\n", "", "shop.py:12", "SyntaxError"),
        (FEATURES + "\n    raise SystemExit(0)\n", "", "shop.py:12", "SystemExit"),
        (FEATURES, MODEL.replace('"ratio_v1"', '"ratoi_v1"'), "churn.py:9", "did you mean 'ratio_v1'?"),
        (FEATURES, MODEL.replace("churn_v2", "churn_v1"), "churn.py:10", "declared already at"),
        (
            FEATURES,
            MODEL.replace('label="left", features=["', 'label="left", metric="auc_roc", features=["'),
            "churn.py:9",
            "roc_auc",
        ),
    ],
)
def test_a_mistake_names_file_line_and_the_nearest_name(project, features, model, file, says):
    root = project({"features/shop.py": features, "models/churn.py": model}, SOURCE)
    with pytest.raises(DeclarationError) as caught:
        found(root)
    assert file in caught.value.message
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_same_name_in_two_files_names_both(project):
    root = project({"features/a.py": FEATURES, "features/b.py": FEATURES}, SOURCE)
    with pytest.raises(DeclarationError, match=r"(?s)b\.py:4.*a\.py:4"):
        found(root)


def test_a_view_and_an_on_demand_feature_of_one_name_are_refused_with_both_places(project):
    other = FEATURES.replace("spend_v1(", "ratio_v1(").split("@on_demand")[0]
    root = project({"features/a.py": FEATURES, "features/b.py": other}, SOURCE)
    with pytest.raises(DeclarationError, match=r"(?s)b\.py:4: ratio_v1 is declared already at .*a\.py:8"):
        found(root)


def test_a_view_called_like_a_source_is_refused_with_both_places(project):
    root = project({"features/a.py": FEATURES}, SOURCE.replace("sources.orders]", "sources.spend_v1]"))
    root.joinpath("pyproject.toml").write_text(root.joinpath("pyproject.toml").read_text() + SOURCE)
    with pytest.raises(DeclarationError, match=r"a\.py:4: .*\[tool\.mlops\.sources\.spend_v1\] of pyproject\.toml"):
        found(root)


def test_a_view_must_not_take_the_training_table_s_own_column(project):
    columns = FEATURES.replace('["mean"]', '["__row"]').replace("spend_v1.mean", "spend_v1.__row")
    root = project({"features/a.py": columns}, SOURCE)
    with pytest.raises(DeclarationError, match=r"a\.py:4: spend_v1 has a column '__row'"):
        found(root)


def test_two_projects_in_one_process_do_not_mix(project, tmp_path):
    first = project({"features/shop.py": FEATURES}, SOURCE)
    assert "spend_v1" in found(first).views
    other = tmp_path / "other"
    (other / "features").mkdir(parents=True)
    (other / "pyproject.toml").write_text("[tool.mlops]\n" + SOURCE)
    (other / "features" / "shop.py").write_text(
        "from mlops import feature_view\n"
        '@feature_view(source="orders", entity="a", timestamp="b")\n'
        "def else_v1(orders): return orders\n"
    )
    assert list(found(other).views) == ["else_v1"]


def test_a_catalog_holds_no_path_of_this_machine(project):
    """Origins are shown in verdicts, which are kept and read elsewhere."""
    root = project({"features/shop.py": FEATURES, "models/churn.py": MODEL}, SOURCE)
    catalog = found(root)
    assert str(catalog.views["spend_v1"].origin) == "features/shop.py:4"
    assert str(catalog.models["churn_v2"].origin) == "models/churn.py:9"
    assert catalog.models["churn_v2"].code_file == str(root / "models" / "churn.py")
