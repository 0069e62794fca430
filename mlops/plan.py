"""What a change affects: the views and models whose code closure differs between two trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops.closure import code_digest
from mlops.declare import Declared
from mlops.discover import Catalog

_EVERYTHING = ("pyproject.toml", "requirements.lock", "bentofile.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Affected names with their reasons; `untouched` are the models that need no work."""

    base: str
    views: Mapping[str, str]
    models: Mapping[str, str]
    untouched: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The plan in one sentence."""
        if not self.models:
            return f"Nothing that a model reads has changed since {self.base}."
        return f"{len(self.models)} of {len(self.models) + len(self.untouched)} models need work since {self.base}."


def affected(catalog: Catalog, root: Path, base_root: Path, *, base: str, changed: tuple[str, ...]) -> Plan:
    """Compare the project in `root` with the tree of `base`, checked out in `base_root`.

    `changed` are the paths that differ. A settings file or a schema affects every model that it may concern;
    code affects what reaches it, function by function, so a comment affects nothing.
    """
    views = _differing(catalog.views, root, base_root)
    computed = _differing(catalog.on_demands, root, base_root)
    settings = next((path for path in changed if path in _EVERYTHING), "")
    models: dict[str, str] = {}
    for name, model in catalog.models.items():
        pinned_views, pinned_computed = catalog.pinned(model)
        touched = [d.name for d in (*pinned_views, *pinned_computed) if d.name in views or d.name in computed]
        schema = next((p for p in changed if Path(p).name == f"{model.source}.schema.yaml"), "")
        own = code_digest(model, root) != code_digest(model, base_root)
        reason = settings or schema or ", ".join(touched) or (f"{name} itself" if own else "")
        if reason:
            models[name] = f"changed: {reason}"
    untouched = tuple(name for name in catalog.models if name not in models)
    return Plan(base=base, views={**views, **computed}, models=models, untouched=untouched)


def _differing(declared: Mapping[str, Declared], root: Path, base_root: Path) -> dict[str, str]:
    return {
        name: "changed: its code"
        for name, one in declared.items()
        if code_digest(one, root) != code_digest(one, base_root)
    }
