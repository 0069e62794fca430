from __future__ import annotations

import numpy as np

from mlops.gates.calibration import judge_calibration
from mlops.statistics.influence import Answers
from mlops.verdict import Outcome, Severity
from tests.statistics.test_calibration import calibrated


def test_probabilities_that_mean_what_they_say_pass():
    found = judge_calibration(calibrated(3_000, 1), 0.05, model="fraud")
    assert found.outcome is Outcome.PASS
    assert found.interval is not None
    assert "Spiegelhalter" in found.message


def test_a_model_that_is_too_sure_warns_and_stops_where_a_limit_is_set():
    sure = calibrated(5_000, 1, power=2.5)
    found = judge_calibration(sure, None, model="fraud")
    assert (found.outcome, found.severity) == (Outcome.FAIL, Severity.WARN)
    found = judge_calibration(sure, 0.05, model="fraud")
    assert (found.outcome, found.severity) == (Outcome.FAIL, Severity.FAIL)
    assert "CalibratedClassifierCV" in found.next_step
    assert found.threshold == 0.05


def test_few_rows_beyond_the_limit_are_insufficient():
    found = judge_calibration(calibrated(120, 3, power=1.8), 0.03, model="fraud")
    assert found.outcome is Outcome.INSUFFICIENT
    assert "hold out more rows" in found.next_step


def test_a_limit_without_probabilities_did_not_run():
    labels = Answers(np.zeros(100), np.zeros(100))
    found = judge_calibration(labels, 0.05, model="fraud")
    assert found.outcome is Outcome.NOT_RUN
    assert "[tool.mlops.models.fraud]" in found.next_step
    assert judge_calibration(labels, None, model="fraud").outcome is Outcome.SKIPPED


def test_a_handful_of_rows_never_passes_a_limit():
    assert judge_calibration(calibrated(20, 1), 0.05, model="fraud").outcome is Outcome.INSUFFICIENT
    assert judge_calibration(calibrated(20, 1), None, model="fraud").outcome is Outcome.SKIPPED
