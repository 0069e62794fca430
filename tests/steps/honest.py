"""Real tables on which every gate must pass, and the sources' fine print that a user would declare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from sklearn import datasets

SHARED = Path(__file__).parents[2] / "../shared/data"


def bike() -> pd.DataFrame:
    table = pd.read_csv(SHARED / "bike_sharing/bike.csv")
    return table.assign(dteday=pd.to_datetime(table["dteday"], format="%m/%d/%Y"))


def occupancy() -> pd.DataFrame:
    names = ["id", "date", "Temperature", "Humidity", "Light", "CO2", "HumidityRatio", "Occupancy"]
    files = [SHARED / "occupancy" / f"{name}.txt" for name in ("datatest", "datatraining", "datatest2")]
    table = pd.concat([pd.read_csv(f, header=None, skiprows=1, names=names) for f in files], ignore_index=True)
    return table.assign(date=pd.to_datetime(table["date"]))


def air_quality() -> pd.DataFrame:
    table = pd.read_csv(SHARED / "air_quality/airquality.csv", encoding="utf-8-sig", na_values=[-200])
    at = pd.to_datetime(table["Date"] + " " + table["Time"])
    return table.drop(columns=["Date", "Time"]).assign(at=at)


def shared(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: pd.read_csv(SHARED / name)


def bundled(name: str) -> Callable[[], pd.DataFrame]:
    return lambda: getattr(datasets, f"load_{name}")(as_frame=True).frame


TABLES: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "bike_sharing": (bike, "label='cnt', timestamp='dteday'"),
    "elec2": (shared("elec2/elec.csv"), "label='class'"),
    "bank_marketing": (shared("bank_marketing/bank.csv"), "label='deposit'"),
    "occupancy": (occupancy, "label='Occupancy', timestamp='date'"),
    "adult_income": (shared("adult_income/income.csv"), "label='income >50K'"),
    "credit_default": (shared("credit_default/credit.csv"), "label='default'"),
    "air_quality": (air_quality, "label='NO2(GT)', timestamp='at'"),
    "wine": (bundled("wine"), "label='target'"),
    "breast_cancer": (bundled("breast_cancer"), "label='target'"),
    "diabetes": (bundled("diabetes"), "label='target'"),
    "digits": (bundled("digits"), "label='target'"),
}
"""By name: how to read it, and the arguments of its `@model`."""
