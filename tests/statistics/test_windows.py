from __future__ import annotations

import numpy as np

from mlops.statistics.windows import windows

DAY = 86_400


def test_a_window_reaches_back_by_its_span_and_the_last_ends_with_the_newest_row():
    times = np.arange(100) * DAY
    found = windows(times, 100, span=7 * DAY, least=1, most=3)
    assert found == (slice(79, 86), slice(86, 93), slice(93, 100))


def test_a_window_reaches_further_back_until_it_holds_enough_rows():
    times = np.arange(100) * DAY
    assert windows(times, 100, span=7 * DAY, least=30, most=2) == (slice(40, 70), slice(70, 100))


def test_only_the_newest_window_may_hold_too_few_rows():
    times = np.arange(50) * DAY
    assert windows(times, 50, span=DAY, least=30, most=5) == (slice(20, 50),)
    assert windows(times[:10], 10, span=DAY, least=30, most=5) == (slice(0, 10),)


def test_without_times_nothing_is_newer_than_anything_so_all_rows_are_one_window():
    assert windows(None, 500, span=DAY, least=100, most=5) == (slice(0, 500),)


def test_without_a_span_rows_are_counted():
    assert windows(np.arange(250), 250, span=0, least=100, most=9) == (slice(50, 150), slice(150, 250))


def test_no_row_is_no_window():
    assert windows(np.arange(0), 0, span=DAY, least=1, most=3) == ()
