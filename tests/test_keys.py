"""A key depends on the ingredients and on nothing else."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mlops.keys import key_of

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
