"""CI/CD for machine learning on GitHub: every push gets a verdict, every accepted verdict becomes a release."""

from mlops.declare import check, feature_view, model, on_demand
from mlops.verdict import Finding, Outcome, Severity

__version__ = "0.1.0"
__all__ = ["Finding", "Outcome", "Severity", "check", "feature_view", "model", "on_demand"]
