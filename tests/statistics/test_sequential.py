"""Sequential tests on counts of two arms: their level, their power, and what they do not mistake for a difference."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import nchypergeom_fisher

from mlops.statistics.sequential import GRID, Evidence, Split, log_likelihoods


def looked_at(random, rate, beside, *, looks=20, n=50):
    """The evidence after each look at `n` more requests of each arm."""
    evidence, every = Evidence(), []
    for ours, theirs in zip(random.binomial(n, rate, looks), random.binomial(n, beside, looks), strict=True):
        evidence = evidence.seen(Split(hits=int(ours), n=n, theirs=int(theirs), beside=n))
        every.append(evidence)
    return every


def test_the_likelihood_is_that_of_fisher_s_noncentral_hypergeometric():
    split = Split(hits=7, n=40, theirs=3, beside=90)
    expected = [nchypergeom_fisher.logpmf(7, 130, 40, 10, math.exp(log)) for log in GRID]
    assert log_likelihoods(split) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_no_request_and_no_hit_are_evidence_of_nothing():
    for split in (Split(hits=0, n=0, theirs=5, beside=100), Split(hits=0, n=100, theirs=0, beside=900)):
        evidence = Evidence().seen(split)
        assert evidence.p_value() == 1.0
        assert evidence.interval() == (0.0, math.inf)


def test_equal_arms_are_called_worse_in_no_more_than_the_level_however_often_one_looks():
    random = np.random.default_rng(3)
    times, fixed, ours = 1_000, 0, 0
    for _ in range(times):
        every = looked_at(random, 0.1, 0.1)
        ours += min(e.p_value() for e in every) < 0.05
        fixed += any(z_test(e) for e in every)
    assert ours <= 0.05 * times
    assert fixed > 0.1 * times, "a fixed test would have been fooled; otherwise this proves nothing"


def test_an_arm_within_the_margin_is_not_called_beyond_it():
    random = np.random.default_rng(4)
    odds = 0.1 / 0.9
    double = odds * 2 / (1 + odds * 2)
    wrong = sum(min(e.p_value(2.0) for e in looked_at(random, double, 0.1)) < 0.05 for _ in range(500))
    assert wrong <= 25


def test_an_arm_that_is_better_is_never_called_worse():
    random = np.random.default_rng(5)
    assert all(e.p_value() > 0.2 for _ in range(200) for e in looked_at(random, 0.05, 0.2)[5:])


def test_what_strikes_both_arms_alike_is_evidence_of_nothing():
    """The network is down for a quarter of the time: nine of ten requests fail in either arm."""
    random = np.random.default_rng(6)
    wrong = 0
    for _ in range(300):
        evidence = Evidence()
        for look in range(20):
            rate = 0.9 if 8 <= look < 13 else 0.01
            ours, theirs = int(random.binomial(10, rate)), int(random.binomial(90, rate))
            evidence = evidence.seen(Split(hits=ours, n=10, theirs=theirs, beside=90))
            if evidence.p_value() < 0.01:
                wrong += 1
                break
    assert wrong <= 3


def test_the_interval_holds_the_truth_at_every_look_together():
    random = np.random.default_rng(7)
    truth = (0.3 / 0.7) / (0.2 / 0.8)
    held = sum(
        all(low <= truth <= high for low, high in (e.interval() for e in looked_at(random, 0.3, 0.2)))
        for _ in range(300)
    )
    assert held >= 0.95 * 300


def test_more_requests_make_the_interval_narrower():
    evidence = [Evidence()]
    for _ in range(3):
        evidence.append(evidence[-1].seen(Split(hits=20, n=100, theirs=20, beside=100)))
    widths = [high - low for low, high in (e.interval() for e in evidence[1:])]
    assert all(later < earlier for earlier, later in pairwise(widths))


def z_test(evidence, level=1.6449):
    pooled = (evidence.hits + evidence.theirs) / (evidence.n + evidence.beside)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / evidence.n + 1 / evidence.beside))
    return spread > 0 and (evidence.share - evidence.share_beside) / spread > level
