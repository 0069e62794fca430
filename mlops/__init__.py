"""CI/CD for machine learning on GitHub: every push gets a verdict, every accepted verdict becomes a release."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops.declare import check, feature_view, model, on_demand
    from mlops.verdict import Finding, Outcome, Severity

__version__ = "0.1.0"
__all__ = ["Finding", "Outcome", "Severity", "check", "feature_view", "model", "on_demand"]


def __getattr__(name: str) -> Any:
    """The name out of its module, imported now: `mlops --help` does not need it."""
    if name not in __all__:
        raise AttributeError(f"module 'mlops' has no attribute {name!r}")
    return getattr(import_module("mlops.verdict" if name[0].isupper() else "mlops.declare"), name)
