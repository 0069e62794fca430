"""A code digest changes with what is computed, and with nothing else."""

from __future__ import annotations

from mlops.closure import code_digest, code_files
from mlops.config import load
from mlops.discover import discover

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
