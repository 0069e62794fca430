"""Seeded card transactions with three patterns of fraud, delayed labels, and faults on demand.

The patterns are those of Le Borgne, Siblini, Lebichot, Bontempi: "Reproducible Machine Learning for Credit Card
Fraud Detection - Practical Handbook" (2022), chapter 3, with fewer customers and terminals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

Fault = Literal[
    "missing_column", "renamed_column", "text_amount", "negative_amount", "null_customer", "new_channel", "duplicate_id"
]

THRESHOLD = 220.0  # a payment above is fraud
TERMINAL_DAYS = 28  # how long a terminal stays compromised: all its payments are fraud
CUSTOMER_DAYS = 14  # how long a customer stays compromised: a third of the payments, inflated
INFLATION = 5.0
CHANNELS = ("chip", "contactless", "online")
AGE_BANDS = ("18-29", "30-44", "45-59", "60+")
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class _People:
    mean_amount: np.ndarray
    payments_a_day: np.ndarray
    online_share: np.ndarray
    age_band: np.ndarray


def transactions(
    *,
    seed: int = 7,
    customers: int = 400,
    terminals: int = 270,
    days: int = 120,
    desk_opens: int = 30,
    start: str = "2024-01-01",
    label_delay_days: int = 7,
    drift: float = 0.0,
    drift_days: int = 14,
    fault: Fault | None = None,
) -> pd.DataFrame:
    """One row per payment, oldest first: who, where, when, how much, how, and whether it was fraud (1.0, 0.0).

    `is_fraud` is missing for the first `desk_opens` days, when nobody kept a record (so every labelled payment has
    a month of history), and for the last `label_delay_days`, when nobody has complained yet. `drift` makes
    amounts grow by that share over the last `drift_days`, and moves as many payments online. `fault` breaks the
    table in one way: `missing_column` (no amount), `renamed_column` (amount is called amt), `text_amount`
    ("12.50 EUR"), `negative_amount` (2 % of them), `null_customer` (2 %), `new_channel` (5 % crypto),
    `duplicate_id` (1 % of the rows twice).
    """
    random = np.random.default_rng(seed)
    people = _people(random, customers)
    customer, day = _payments(random, people, days)
    seconds = _time_of_day(random, customer.size)
    order = np.argsort(day * _SECONDS_A_DAY + seconds, kind="stable")
    customer, day, seconds = customer[order], day[order], seconds[order]
    terminal = _terminals(random, customer, customers, terminals)
    amount = _amounts(random, people.mean_amount[customer])
    amount, fraud = _frauds(random, customer, terminal, day, amount)
    drifted = (day >= days - drift_days) & (drift > 0)
    online = random.random(customer.size) < people.online_share[customer] + np.where(drifted, drift, 0.0)
    table = pd.DataFrame(
        {
            "transaction_id": np.arange(customer.size),
            "event_time": _moments(start, day, seconds),
            "customer_id": customer,
            "terminal_id": terminal,
            "amount": np.round(np.where(drifted, amount * (1 + drift), amount), 2),
            "channel": np.where(online, CHANNELS[2], np.where(random.random(customer.size) < 0.5, *CHANNELS[:2])),
            "age_band": people.age_band[customer],
            "is_fraud": np.where((day >= desk_opens) & (day < days - label_delay_days), fraud.astype(float), np.nan),
        }
    )
    return table if fault is None else _broken(table, fault, random)


def _people(random: np.random.Generator, count: int) -> _People:
    return _People(
        mean_amount=random.uniform(5, 100, count),
        payments_a_day=random.uniform(0.2, 2.0, count),
        online_share=random.uniform(0.05, 0.5, count),
        age_band=random.choice(AGE_BANDS, count, p=(0.2, 0.3, 0.3, 0.2)),
    )


def _payments(random: np.random.Generator, people: _People, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Customer and day of each payment: a Poisson number for each customer and day."""
    count = people.payments_a_day.size
    number = random.poisson(people.payments_a_day[:, None], (count, days)).ravel()
    return np.repeat(np.repeat(np.arange(count), days), number), np.repeat(np.tile(np.arange(days), count), number)


def _time_of_day(random: np.random.Generator, size: int) -> np.ndarray:
    """Seconds after midnight, around noon."""
    return np.clip(random.normal(_SECONDS_A_DAY / 2, 20_000, size), 0, _SECONDS_A_DAY - 1)


def _moments(start: str, day: np.ndarray, seconds: np.ndarray) -> pd.Series:
    microseconds = ((day * _SECONDS_A_DAY + seconds) * 1_000_000).astype("int64")
    return pd.Series(
        pd.Timestamp(start, tz="UTC").as_unit("us") + pd.to_timedelta(microseconds, unit="us").as_unit("us")
    )


def _terminals(random: np.random.Generator, customer: np.ndarray, customers: int, terminals: int) -> np.ndarray:
    """Each payment's terminal, one of the 25 nearest to where the customer lives."""
    homes, places = random.uniform(0, 100, (customers, 2)), random.uniform(0, 100, (terminals, 2))
    distances = ((homes[:, None, :] - places[None, :, :]) ** 2).sum(axis=2)
    near = np.argsort(distances, axis=1)[:, : min(25, terminals)]
    return near[customer, random.integers(0, near.shape[1], customer.size)]


def _amounts(random: np.random.Generator, mean: np.ndarray) -> np.ndarray:
    """Normal around the customer's mean; a negative one is drawn again, evenly from 0 to twice the mean."""
    amount = random.normal(mean, mean / 2)
    return np.round(np.where(amount <= 0, random.uniform(0.01, 2 * mean), amount), 2).clip(0.01)


def _frauds(
    random: np.random.Generator, customer: np.ndarray, terminal: np.ndarray, day: np.ndarray, amount: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The amounts, inflated where a customer is compromised, and whether each payment is fraud."""
    days = int(day.max(initial=0)) + 1
    fraud = amount > THRESHOLD
    bad_terminal = _compromised(random, int(terminal.max(initial=0)) + 1, days, every=4, lasting=TERMINAL_DAYS)
    fraud |= bad_terminal[terminal, day]
    bad_customer = _compromised(random, int(customer.max(initial=0)) + 1, days, every=1, lasting=CUSTOMER_DAYS)
    inflated = bad_customer[customer, day] & (random.random(customer.size) < 1 / 3)
    return np.where(inflated, amount * INFLATION, amount), fraud | inflated


def _compromised(random: np.random.Generator, members: int, days: int, *, every: int, lasting: int) -> np.ndarray:
    """A table members by days: every so many days one more member is compromised, for that many days."""
    table = np.zeros((members, days), dtype=bool)
    for first in range(0, days, every):
        table[random.integers(0, members), first : first + lasting] = True
    return table


def _broken(table: pd.DataFrame, fault: Fault, random: np.random.Generator) -> pd.DataFrame:
    if fault not in Fault.__args__:
        raise ValueError(f"unknown fault {fault!r}; there are {', '.join(Fault.__args__)}")
    some = random.random(len(table))
    changed = {
        "missing_column": lambda: table.drop(columns="amount"),
        "renamed_column": lambda: table.rename(columns={"amount": "amt"}),
        "text_amount": lambda: table.assign(amount=table["amount"].map("{:.2f} EUR".format)),
        "negative_amount": lambda: table.assign(amount=table["amount"].where(some >= 0.02, -table["amount"])),
        "null_customer": lambda: table.assign(customer_id=table["customer_id"].astype("Int64").mask(some < 0.02)),
        "new_channel": lambda: table.assign(channel=table["channel"].mask(some < 0.05, "crypto")),
        "duplicate_id": lambda: pd.concat([table, table[some < 0.01]], ignore_index=True),
    }
    return changed[fault]()
