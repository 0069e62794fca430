"""The order of the steps, and nothing else knows it.

snapshot -> check-features, check-data, build-features -> assemble -> train, check-data -> check-model, package ->
check-service -> register -> deploy. Steps that do not need each other run side by side. What a step does, and
what its key is made of, is in `actions`, a file for each; the executor computes a key once, ever.

What is live is monitored by snapshot -> check-data, build-features -> monitor, on the newest rows.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlops.actions import (
    assemble,
    build_features,
    check_data,
    check_features,
    check_model,
    check_service,
    deploy,
    materialize,
    monitor,
    package,
    register,
    snapshot,
    train,
)
from mlops.actions.context import Action, Context
from mlops.actions.monitored import monitored
from mlops.actions.wish import Wish
from mlops.declare import FeatureView, Model
from mlops.execution import Task

_JUDGING = ("check-features", "check-data", "check-model", "check-service", "monitor")


def tasks(context: Context) -> list[Task]:
    """Every task that the wish needs, each after what it reads."""
    if context.wish.until == "materialize":
        return _materializing(context)
    if context.wish.until == "monitor":
        return _monitoring(context)
    wish, catalog = context.wish, context.workspace.catalog
    compared, kept = build_features.compared(context), build_features.kept(context)
    views = {view.name: view for view in (*compared, *kept)}.values()
    read = dict.fromkeys([*(m.source for m in wish.models), *(v.source for v in views)])
    tested = dict.fromkeys(v.source for v in catalog.views.values())  # features are tested whether a model reads them
    taken = [f"snapshot:{name}" for name in tested]
    found = _snapshots(context, dict.fromkeys([*read, *tested]))
    found.append(_task("check-features", "", check_features.action(context), needs=taken))
    found += [*_judged(context, read), *_computed(context, views)]
    for model in wish.models:
        found += _of_model(context, model, compared)
    if wish.environment is not None:
        fresh = [*_built(kept), *(f"check-data:{view.source}" for view in kept)]
        found += [_deployed(context, model, wish.environment, fresh) for model in wish.models]
    return _up_to(found, wish.until)


def _materializing(context: Context) -> list[Task]:
    """Views are computed beside the judging of their sources, and published when these are accepted."""
    views = context.wish.views
    sources = list(dict.fromkeys(view.source for view in views))
    found = [*_snapshots(context, sources), *_judged(context, sources), *_computed(context, views)]
    needs = [task.name for task in found]
    return found + [
        _task("materialize", name, materialize.action(context, views, name), needs=needs)
        for name in context.wish.environments
    ]


def _monitoring(context: Context) -> list[Task]:
    """A service is judged at once; what its release meets, when the newest rows are there and read as it reads them."""
    found: list[Task] = []
    for watched in monitored(context):
        family, model = watched.live.family, watched.model
        needs: list[str] = []
        if model is not None:
            sources = dict.fromkeys([*watched.sources, *(view.source for view in watched.views)])
            found += [*_snapshots(context, sources), *_judged(context, sources), *_computed(context, watched.views)]
            needs = [*(f"snapshot:{name}" for name in watched.sources), *(f"check-data:{name}" for name in sources)]
            needs += [f"build-features:{view.name}" for view in watched.views]
        found.append(_task("monitor", f"{family} health", monitor.of_health(context, watched)))
        found.append(_task("monitor", family, monitor.of_quality(context, watched), needs=needs))
    return list({task.name: task for task in found}.values())


def _snapshots(context: Context, sources: Iterable[str]) -> list[Task]:
    return [_task("snapshot", name, snapshot.action(context, name)) for name in sources]


def _judged(context: Context, sources: Iterable[str]) -> list[Task]:
    return [
        _task("check-data", name, check_data.of_source(context, name), needs=[f"snapshot:{name}"]) for name in sources
    ]


def _computed(context: Context, views: Iterable[FeatureView]) -> list[Task]:
    return [
        _task("build-features", view.name, build_features.action(context, view), needs=[f"snapshot:{view.source}"])
        for view in views
    ]


def _of_model(context: Context, model: Model, views: tuple[FeatureView, ...]) -> list[Task]:
    name = model.name
    pinned, _ = context.workspace.catalog.pinned(model)
    table, fit, bento = f"assemble:{name}", f"train:{name}", f"package:{name}"
    built = [f"build-features:{view.name}" for view in views]  # the champion's too: it answers through its own
    earlier = _earlier(context.wish, model)
    return [
        _task(
            "assemble",
            name,
            assemble.action(context, model),
            needs=[f"snapshot:{model.source}", *(f"build-features:{view.name}" for view in pinned)],
        ),
        _task("train", name, train.action(context, model), needs=[table]),
        _task("check-data", name, check_data.of_table(context, model), needs=[table], after=earlier),
        _task("check-model", name, check_model.action(context, model), needs=[table, fit, *built], after=earlier),
        _task("package", name, package.action(context, model), needs=[table, fit]),
        _task(
            "check-service",
            name,
            check_service.action(context, model),
            needs=[bento, table, *(f"build-features:{view.name}" for view in pinned)],
            after=earlier,
        ),
        _register(context, model, pinned),
    ]


def _deployed(context: Context, model: Model, environment: str, fresh: list[str]) -> Task:
    """The deployment publishes what other releases read too: `fresh` are the tasks that compute and judge it."""
    pinned, _ = context.workspace.catalog.pinned(model)
    needs = list(dict.fromkeys([f"register:{model.name}", *_built(pinned), *fresh]))
    return _task(
        "deploy",
        model.name,
        deploy.action(context, model, environment),
        needs=needs,
        after=_earlier(context.wish, model),
    )


def _built(views: Iterable[FeatureView]) -> list[str]:
    """What computes the views, and what tells as of when."""
    return [name for view in views for name in (f"build-features:{view.name}", f"snapshot:{view.source}")]


def _register(context: Context, model: Model, pinned: list[FeatureView]) -> Task:
    name = model.name
    sources = list(dict.fromkeys([model.source, *(view.source for view in pinned)]))
    gates = ["check-features", *(f"check-data:{subject}" for subject in (*sources, name))]
    gates += [f"{step}:{name}" for step in ("assemble", "train", "check-model", "package", "check-service")]
    snapshots = [f"snapshot:{source}" for source in sources]
    return _task("register", name, register.action(context, model, snapshots, gates), needs=[*snapshots, *gates])


def _earlier(wish: Wish, model: Model) -> list[str]:
    """The deployment of the family's version before: it is the champion that this one is compared with."""
    before = [m for m in wish.models if m.family == model.family and m.version < model.version]
    return [f"deploy:{m.name}" for m in before if wish.environment]


def _task(
    step: str, subject: str, action: Action, *, needs: list[str] | None = None, after: list[str] | None = None
) -> Task:
    return Task(
        step=step,
        subject=subject,
        version=action.version,
        run=action.run,
        ingredients=action.ingredients,
        still=action.still,
        recorded=action.recorded,
        needs=tuple(needs or ()),
        after=tuple(after or ()),
        judging=step in _JUDGING,
    )


def _up_to(tasks: list[Task], step: str) -> list[Task]:
    """The tasks of `step` and all that they need, themselves needed or not."""
    by_name = {task.name: task for task in tasks}
    wanted: dict[str, Task] = {}
    open_names = [task.name for task in tasks if task.step == step]
    while open_names:
        name = open_names.pop()
        if name in by_name and name not in wanted:
            wanted[name] = by_name[name]
            open_names += by_name[name].needs
    return [task for task in tasks if task.name in wanted]
