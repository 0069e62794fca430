"""A key depends on the ingredients and on nothing else."""

from __future__ import annotations

from datetime import timedelta

import grimp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.keys import environment, environment_lock, key_of

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), values, min_size=2, max_size=6))
def test_the_order_of_ingredients_does_not_matter(ingredients):
    turned = dict(reversed(ingredients.items()))
    assert key_of("train", ingredients) == key_of("train", turned)


@given(values, values)
def test_different_ingredients_give_different_keys(one, other):
    same = repr(one) == repr(other) or one == other
    assert same or key_of("train", {"value": one}) != key_of("train", {"value": other})


def test_the_step_counts_and_so_do_values_that_json_does_not_know():
    assert key_of("train", {}) != key_of("package", {})
    assert key_of("train", {"ttl": timedelta(days=1)}) != key_of("train", {"ttl": timedelta(days=2)})


@pytest.fixture(scope="module")
def imports():
    return grimp.build_graph("mlops", include_external_packages=True)


@pytest.mark.parametrize("step", ["check-data", "check-features", "check-model", "check-service"])
def test_a_judgement_is_another_one_with_another_version_of_what_computes_it(imports, step):
    """Every library that is imported by the gates and statistics which a step's code reaches is part of its key."""
    reached = imports.find_upstream_modules(f"mlops.steps.{step.replace('-', '_')}")
    judging = [one for one in reached if one.startswith(("mlops.gates.", "mlops.statistics."))]
    found = {other for one in judging for other in imports.find_modules_directly_imported_by(one)}
    libraries = {"scikit-learn" if one == "sklearn" else one for one in found if one in THEIRS}
    assert libraries <= environment(step).keys()


THEIRS = {"numpy", "pandas", "scipy", "sklearn", "fairlearn", "cleanlab", "duckdb", "pandera"}


def test_the_libraries_of_a_gate_make_no_other_release():
    """A runner and a laptop that differ in them would else give one work two names."""
    assert not {"pytest", "pandera", "cleanlab", "fairlearn"} & environment_lock().keys()
    assert {"scikit-learn", "onnxruntime", "numpy", "protobuf"} <= environment_lock().keys()
