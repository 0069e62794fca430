"""Real tables, whole: `mlops init`, `mlops run`, and a release that answers requests."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.acceptance

# What each is there for: a time and a regression; missing values; many categories; many rows of codes;
# a time and an index without a name; a decimal that means missing, and gaps in the label; drift in row order.
TABLES = {
    "bike": ("bike_sharing/bike.csv", "cnt", "--timestamp", "dteday"),
    "income": ("adult_income/income.csv", "income >50K"),
    "bank": ("bank_marketing/bank.csv", "deposit"),
    "credit": ("credit_default/credit.csv", "default"),
    "occupancy": ("occupancy/datatraining.txt", "Occupancy", "--timestamp", "date"),
    "air": ("air_quality/airquality.csv", "CO(GT)", "--timestamp", "Date", "--missing", "-200"),
    "elec": ("elec2/elec.csv", "class"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_real_table_becomes_a_release_that_answers(name, real_tables, journey):
    file, label, *options = TABLES[name]
    project = journey(name, real_tables / file, label, *options)
    assert (project / ".mlops/mlflow.db").exists()
