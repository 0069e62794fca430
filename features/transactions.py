"""Features of card payments: what a customer usually spends, and how risky a terminal has been.

A stored row holds what is known right after the payment at its time; a later payment reads the newest row that is
strictly earlier, in training and at the request alike.
"""

from __future__ import annotations

import pandas as pd

from mlops import feature_view, on_demand

LABEL_DELAY = pd.Timedelta(days=7)  # a fraud is known so long after the payment


@feature_view(
    source="transactions",
    entity="customer_id",
    timestamp="event_time",
    ttl="30d",
    columns={
        "mean_7d": "mean amount of the customer's payments in the last 7 days, this one included",
        "count_7d": "number of the customer's payments in the last 7 days, this one included",
    },
)
def customer_spend_v1(transactions: pd.DataFrame) -> pd.DataFrame:
    """Mean spend and number of payments of a customer over the last 7 days."""
    return _spend(transactions, days=(7,))


@feature_view(
    source="transactions",
    entity="customer_id",
    timestamp="event_time",
    ttl="60d",
    columns={
        "mean_1d": "mean amount of the customer's payments in the last day, this one included",
        "count_1d": "number of the customer's payments in the last day, this one included",
        "mean_7d": "the same mean over 7 days",
        "count_7d": "the same number over 7 days",
        "mean_30d": "the same mean over 30 days",
        "count_30d": "the same number over 30 days",
    },
)
def customer_spend_v2(transactions: pd.DataFrame) -> pd.DataFrame:
    """Mean spend and number of payments of a customer over the last 1, 7 and 30 days."""
    return _spend(transactions, days=(1, 7, 30))


@feature_view(
    source="transactions",
    entity="terminal_id",
    timestamp="event_time",
    ttl="60d",
    columns={
        "payments_7d": "number of payments at the terminal in the 7 days whose frauds are known",
        "fraud_share_7d": "share of frauds among them; missing without payments",
    },
)
def terminal_risk_v1(transactions: pd.DataFrame) -> pd.DataFrame:
    """Share of frauds at a terminal in the 7 days that ended a label delay ago, so no unknown label is read."""
    window = pd.Timedelta(days=7)
    known = transactions.sort_values(["terminal_id", "event_time"], kind="stable")
    # A window that ends in the past is the difference of two that end now; both sums are whole numbers, so exact.
    frauds = _rolled(known, "terminal_id", known["is_fraud"].fillna(0), LABEL_DELAY + window, "sum")
    frauds -= _rolled(known, "terminal_id", known["is_fraud"].fillna(0), LABEL_DELAY, "sum")
    payments = _rolled(known, "terminal_id", known["amount"], LABEL_DELAY + window, "count")
    payments -= _rolled(known, "terminal_id", known["amount"], LABEL_DELAY, "count")
    features = known[["terminal_id", "event_time"]].assign(
        payments_7d=payments, fraud_share_7d=(frauds / payments.where(payments > 0)).round(4)
    )
    return features.drop_duplicates(["terminal_id", "event_time"], keep="last")


@on_demand(inputs=["amount", "customer_spend_v1.mean_7d"])
def amount_over_mean_v1(amount: pd.Series, mean_7d: pd.Series) -> pd.Series:
    """How many times the customer's 7-day mean this amount is; missing for a customer without one."""
    return _ratio(amount, mean_7d)


@on_demand(inputs=["amount", "customer_spend_v2.mean_30d"])
def amount_over_mean_v2(amount: pd.Series, mean_30d: pd.Series) -> pd.Series:
    """How many times the customer's 30-day mean this amount is, which a burst of fraud moves less."""
    return _ratio(amount, mean_30d)


def _spend(transactions: pd.DataFrame, *, days: tuple[int, ...]) -> pd.DataFrame:
    payments = transactions.dropna(subset=["customer_id"]).sort_values(["customer_id", "event_time"], kind="stable")
    features = payments[["customer_id", "event_time"]].copy()
    for number in days:
        window = pd.Timedelta(days=number)
        features[f"mean_{number}d"] = _rolled(payments, "customer_id", payments["amount"], window, "mean").round(2)
        features[f"count_{number}d"] = _rolled(payments, "customer_id", payments["amount"], window, "count")
    # Of payments at the same moment the last one's window holds all of them.
    return features.drop_duplicates(["customer_id", "event_time"], keep="last")


def _rolled(payments: pd.DataFrame, entity: str, values: pd.Series, window: pd.Timedelta, how: str) -> pd.Series:
    """A statistic of `values` over the time window that ends at each payment, per entity; sorted input and output."""
    table = pd.DataFrame({"entity": payments[entity], "at": payments["event_time"], "value": values})
    rolled = table.groupby("entity", sort=False).rolling(window, on="at")["value"].agg(how)
    return pd.Series(rolled.to_numpy(), index=payments.index)


def _ratio(amount: pd.Series, mean: pd.Series) -> pd.Series:
    # Rounded and bounded, so that 32 bits hold it: the served model sees what the trained one saw.
    return (amount / mean.where(mean > 0)).clip(upper=100.0).round(3)
