"""An experiment's verdict: right at every look, over many experiments, and only where its arms can be compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops.gates.experiment import Question, judged
from mlops.statistics.effect import arm, needed
from mlops.verdict import Outcome

QUESTION = Question(metric="error", better="lower", effect=0.05, level=0.05, share=0.5)


def dealt(random, units, *, visits=3, rate=0.2, gain=0.0, share=0.5, wobble=0.0, labelled=1.0):
    """Decisions in the order of time: units come again, each with an error rate of its own (by `wobble`)."""
    unit = random.integers(0, units, units * visits)
    ours = random.random(units) < share
    rates = np.full(units, rate)
    if wobble:
        rates = random.beta(rate / wobble, (1 - rate) / wobble, units)
    chance = np.clip(rates[unit] - gain * ours[unit], 0, 1)
    value = (random.random(unit.size) < chance).astype(float)
    value[random.random(unit.size) >= labelled] = np.nan
    return pd.DataFrame({"challenger": ours[unit], "drawn": ours[unit], "unit": unit, "value": value})


def looks(rows, count, question=QUESTION):
    """The first verdict that ends the experiment, and the challenger's labels by then."""
    for end in np.linspace(len(rows) / count, len(rows), count).astype(int):
        found = judged(rows[:end], question, over=end == len(rows), subject="v2")
        if found.said != "go on":
            return found
    raise AssertionError


def test_few_experiments_without_a_difference_find_one_however_often_they_are_looked_at():
    """Twenty looks, customers that come again and differ from one another: at most 5 % say better or worse."""
    random, wrong, runs = np.random.default_rng(5), 0, 150
    for _ in range(runs):
        found = looks(dealt(random, 800, wobble=0.3), 20)
        low, high = found.findings[2].interval
        wrong += not low <= 0.0 <= high
    assert wrong <= 0.05 * runs, wrong


def test_a_difference_of_the_declared_size_is_found_with_the_stated_sample():
    random, found, used, runs = np.random.default_rng(6), 0, [], 100
    ours, theirs = needed(effect=0.05, spread=0.2 * 0.8, share=0.5, level=0.05, power=0.8)
    for _ in range(runs):
        rows = dealt(random, ours + theirs, visits=1, gain=0.05)
        end = looks(rows, 20)
        found += end.said == "promote"
        used.append(end.challenger.n)
    assert found >= 0.8 * runs - 8, found
    assert np.mean(used) < ours, "looking early ends most of them before"


def test_customers_who_differ_from_one_another_need_more_and_the_stated_sample_says_so():
    random = np.random.default_rng(7)
    past = dealt(random, 3000, visits=6, wobble=0.3)
    known = arm(past.value.to_numpy(), past.unit.to_numpy())
    assert known.inflation > 1.5
    plain, _ = needed(effect=0.05, spread=known.spread, share=0.5, level=0.05, power=0.8)
    ours, theirs = needed(effect=0.05, spread=known.spread * known.inflation, share=0.5, level=0.05, power=0.8)
    assert ours == pytest.approx(plain * known.inflation, rel=0.01)
    found = 0
    for _ in range(40):
        found += looks(dealt(random, (ours + theirs) // 6, visits=6, wobble=0.3, gain=0.05), 10).said == "promote"
    assert found >= 26, found


def test_an_unequal_share_needs_more_in_all():
    even, odd = ([*needed(effect=0.05, spread=0.16, share=s, level=0.05, power=0.8)] for s in (0.5, 0.1))
    assert sum(odd) == pytest.approx(sum(even) * 0.25 / 0.09, rel=0.01)


@pytest.mark.parametrize(
    ("gain", "said", "words"), [(0.1, "promote", "no chance"), (-0.1, "stop", "worse"), (0.0, "stop", "not better by")]
)
def test_enough_labels_end_it_one_way_or_the_other(gain, said, words):
    found = judged(dealt(np.random.default_rng(8), 8000, gain=gain), QUESTION, over=False, subject="v2")
    assert found.said == said
    assert words in found.findings[2].message


def test_where_more_is_better_the_sides_change():
    more = Question(metric="sales", better="higher", effect=0.05, level=0.05, share=0.5)
    found = judged(dealt(np.random.default_rng(8), 8000, gain=0.1), more, over=False, subject="v2")
    assert found.said == "stop"
    assert found.findings[2].measured < -0.08


@pytest.mark.parametrize(("over", "said"), [(False, "go on"), (True, "insufficient")])
def test_no_data_is_not_success(over, said):
    random = np.random.default_rng(9)
    for rows in (dealt(random, 40), dealt(random, 800, gain=0.02), dealt(random, 800)[:0]):
        found = judged(rows, QUESTION, over=over, subject="v2")
        assert found.said == said
        assert found.findings[2].outcome is Outcome.INSUFFICIENT


def test_arms_that_were_not_dealt_as_was_meant_tell_nothing():
    rows = dealt(np.random.default_rng(10), 8000, gain=0.1, share=0.45)
    found = judged(rows, QUESTION, over=False, subject="v2")
    assert (found.said, found.findings[0].outcome) == ("stop", Outcome.FAIL)
    astray = dealt(np.random.default_rng(10), 2000, gain=0.1)
    astray.loc[::30, "challenger"] = ~astray.loc[::30, "challenger"]
    found = judged(astray, QUESTION, over=False, subject="v2")
    assert found.findings[0].outcome is Outcome.PASS, "as when workers start"
    assert found.challenger.n + found.live.n == 5800
    astray.loc[::7, "challenger"] = ~astray.loc[::7, "drawn"]
    assert judged(astray, QUESTION, over=False, subject="v2").findings[0].outcome is Outcome.FAIL


def test_labels_that_come_to_one_arm_tell_nothing():
    rows = dealt(np.random.default_rng(11), 4000, gain=0.1)
    lost = rows.challenger & (np.arange(len(rows)) % 4 == 0)
    rows.loc[lost, "value"] = np.nan
    found = judged(rows, QUESTION, over=False, subject="v2")
    assert (found.said, found.findings[1].outcome) == ("stop", Outcome.FAIL)


def test_few_sound_experiments_are_called_broken():
    random, broken = np.random.default_rng(12), 0
    for _ in range(60):
        rows = dealt(random, 600, labelled=0.7)
        for end in np.linspace(len(rows) / 10, len(rows), 10).astype(int):
            found = judged(rows[:end], QUESTION, over=False, subject="v2")
            broken += Outcome.FAIL in {found.findings[0].outcome, found.findings[1].outcome}
    assert broken <= 1
