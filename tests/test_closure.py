"""A code digest changes with what is computed, and with nothing else."""

from __future__ import annotations

import sys

import pytest

from mlops.closure import code_digest, code_files, definitions, meaning, module_of
from mlops.discover import discover
from mlops.pyproject import load

SOURCE = '[tool.mlops.sources.orders]\npath = "orders.csv"\n'
SHOP = """
    from mlops import feature_view
    from features import windows
    from features.units import to_cents as cents

    DAYS = 7
    UNUSED = 1

    @feature_view(source="orders", entity="customer", timestamp="at", columns={"mean": "in euros"})
    def spend_v1(orders):
        '''What a customer spends.'''
        # the window is closed on the right
        return windows.rolled(cents(orders), DAYS)

    @feature_view(source="orders", entity="customer", timestamp="at")
    def other_v1(orders):
        return orders
"""
FILES = {
    "features/shop.py": SHOP,
    "features/windows.py": """
        def rolled(frame, days):
            return _inner(frame)

        def _inner(frame):
            return frame
        """,
    "features/units.py": """
        FACTOR = 100

        def to_cents(frame):
            return frame * FACTOR

        def unused():
            return 1
        """,
}


def digest(project, name="spend_v1", **changed):
    files = dict(FILES)
    for key, (old, new) in changed.items():
        file = f"features/{key}.py"
        assert old in files[file]
        files[file] = files[file].replace(old, new)
    root = project(files, SOURCE)
    return code_digest(discover(root, load(root)).views[name], root)


def test_comments_docstrings_formatting_and_neighbours_do_not_count(project):
    before = digest(project)
    assert digest(project, shop=("# the window is closed on the right", "# another comment")) == before
    assert digest(project, shop=("What a customer spends.", "Spending.")) == before
    assert (
        digest(
            project, shop=("return windows.rolled(cents(orders), DAYS)", "return windows.rolled(cents(orders),DAYS)")
        )
        == before
    )
    assert digest(project, shop=("in euros", "in euros, rounded")) == before
    assert digest(project, shop=("UNUSED = 1", "UNUSED = 2")) == before
    assert digest(project, shop=("return orders\n", "return orders.copy()\n")) == before, "other_v1 is a neighbour"
    assert digest(project, units=("return 1", "return 2")) == before


def test_every_definition_that_is_reached_counts(project):
    before = digest(project)
    assert digest(project, shop=("DAYS = 7", "DAYS = 8")) != before
    assert digest(project, windows=("return frame\n", "return frame + 1\n")) != before, "through module and function"
    assert digest(project, units=("FACTOR = 100", "FACTOR = 10")) != before, "through an import by another name"
    assert digest(project, shop=('timestamp="at", columns', 'timestamp="time", columns')) != before


def test_the_files_of_a_closure_are_those_that_it_reaches(project):
    root = project({**FILES, "features/__init__.py": "", "features/lonely.py": "X = 1\n"}, SOURCE)
    catalog = discover(root, load(root))
    assert code_files(catalog.views["spend_v1"], root) == (
        "features/__init__.py",
        "features/shop.py",
        "features/units.py",
        "features/windows.py",
    )
    assert code_files(catalog.views["other_v1"], root) == ("features/__init__.py", "features/shop.py")


def means(project, files=None, module="features.shop", name="spend_v1"):
    root = project(files or FILES, SOURCE)
    for stale in set(root.glob("features/*.py")) - {root / file for file in files or FILES}:
        stale.unlink()
    return meaning(module, name, root)


def changed(**files):
    found = dict(FILES)
    for key, (old, new) in files.items():
        assert old in found[f"features/{key}.py"]
        found[f"features/{key}.py"] = found[f"features/{key}.py"].replace(old, new)
    return found


def test_what_a_function_means_does_not_hang_on_where_it_stands_or_how_its_helpers_are_called(project):
    """Promise 6: a moved file, a renamed module or helper, another order are no edits."""
    before = means(project)
    files = changed(shop=("windows", "periods"))
    files["features/periods.py"] = files.pop("features/windows.py")
    assert means(project, files) == before, "a renamed module"
    files = dict(FILES)
    files["features/deeper/market.py"] = files.pop("features/shop.py")
    assert means(project, files, "features.deeper.market") == before, "a moved file"
    files = {**FILES, "features/windows.py": FILES["features/windows.py"].replace("_inner", "_core")}
    assert means(project, files) == before, "a renamed helper"
    files = changed(shop=("import to_cents as cents", "import to_cents"))
    files["features/shop.py"] = files["features/shop.py"].replace("cents(orders)", "to_cents(orders)")
    assert means(project, files) == before, "an import by its own name"
    files = changed(shop=('timestamp="at", columns', 'timestamp="at", window="7d", columns'))
    assert means(project, files) == before, "a window is proved, and changes no value"


def test_what_a_function_means_changes_with_all_that_it_computes(project):
    before = means(project)
    assert means(project, changed(shop=("DAYS = 7", "DAYS = 8"))) != before
    assert means(project, changed(windows=("return frame\n", "return frame + 1\n"))) != before
    assert means(project, changed(units=("FACTOR = 100", "FACTOR = 10"))) != before
    assert means(project, changed(shop=("rolled(cents(orders), DAYS)", "rolled(orders, DAYS)"))) != before
    swapped = changed(shop=("cents(orders), DAYS", "DAYS, cents(orders)"))
    assert means(project, swapped) != before
    assert means(project, name="gone_v1") == ""


HIDDEN = {
    "by its full name": ("import features.units", "features.units.to_cents(orders)"),
    "by a star": ("from features.units import *", "to_cents(orders)"),
    "inside the function": ("", "__import__inside"),
}


@pytest.mark.parametrize("how", HIDDEN)
def test_a_helper_counts_however_it_is_imported(project, how):
    line, call = HIDDEN[how]
    body = f"return {call}"
    if call == "__import__inside":
        body = "from features.units import to_cents\n        return to_cents(orders)"
    shop = f"""
    from mlops import feature_view
    {line}

    @feature_view(source="orders", entity="customer", timestamp="at")
    def spend_v1(orders):
        {body}
    """
    seen = []
    for factor in (100, 10):
        units = FILES["features/units.py"].replace("100", str(factor))
        root = project({"features/shop.py": shop, "features/units.py": units}, SOURCE)
        catalog = discover(root, load(root))
        view = catalog.views["spend_v1"]
        assert "features/units.py" in code_files(view, root)
        seen.append((code_digest(view, root), meaning(view.module, view.name, root)))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_the_framework_is_no_part_of_a_feature(project, monkeypatch):
    """A bento holds the framework beside the project's files; a project may not."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # other tests' worker processes are to find the real framework
    before = means(project), digest(project)
    files = {**FILES, "mlops/__init__.py": "def feature_view(**_):\n    return 1\n"}
    assert (means(project, files), digest(project)) == before


def test_definitions_are_given_with_their_text_and_place(project):
    root = project(FILES, SOURCE)
    found = {one.name: one for one in definitions("features.shop", "spend_v1", root)}
    assert next(iter(found)) == "spend_v1"
    assert set(found) == {"spend_v1", "DAYS", "rolled", "_inner", "to_cents", "FACTOR"}
    assert found["to_cents"].file == "features/units.py"
    assert found["spend_v1"].text.startswith("@feature_view(")
    assert "# the window is closed on the right" in found["spend_v1"].text
    assert module_of("spend_v1", root, ["models", "features"]) == "features.shop"
    assert module_of("gone_v1", root, ["models", "features"]) is None
