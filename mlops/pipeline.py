"""The order of the steps, and nothing else knows it.

snapshot -> check-features, check-data, build-features -> assemble -> train, check-data -> check-model, package ->
check-service -> register -> deploy. Steps that do not need each other run side by side. Each task says what its
key is made of; the executor computes a key once, ever.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from mlops import champion, ingredients, keys
from mlops.adapters.deepchecks import Deepchecks
from mlops.adapters.index import Index
from mlops.adapters.sources import fingerprint
from mlops.closure import function_digest
from mlops.config import ModelSettings, Source
from mlops.declare import FeatureView, Model, duration
from mlops.execution import Observer, Records, Task
from mlops.publishing import publish_features
from mlops.recording import Push, Recorder
from mlops.release import Manifest
from mlops.steps import (
    assemble,
    build_features,
    check_data,
    check_features,
    check_model,
    check_service,
    deploy,
    package,
    register,
    snapshot,
    train,
)
from mlops.targets import chosen
from mlops.verdict import Record
from mlops.workspace import Workspace

STEPS = (
    "snapshot",
    "check-features",
    "check-data",
    "build-features",
    "assemble",
    "train",
    "check-model",
    "package",
    "check-service",
    "register",
    "deploy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for: these models, up to this step, deployed there."""

    command: str
    models: tuple[Model, ...]
    until: str = "deploy"
    environment: str | None = None
    reason: str = ""


class Pipeline:
    """The tasks of one wish, and what they share; a context manager."""

    def __init__(
        self, workspace: Workspace, wish: Wish, push: Push, recorder: Recorder, index: Index, observer: Observer
    ) -> None:
        self.workspace = workspace
        self.wish = wish
        self.push = push
        self.recorder = recorder
        self.index = index
        self.observer = observer
        self._ledger = os.environ.get("MLFLOW_TRACKING_URI", "")
        self._deepchecks: Deepchecks | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Ready; deepchecks starts with the first computed step."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started."""
        if self._deepchecks is not None:
            self._deepchecks.close()

    def tasks(self) -> list[Task]:
        """Every task that the wish needs, each after what it reads."""
        models, views = self.wish.models, self._views()
        everywhere = self.workspace.catalog.views.values()  # features are tested whether a model reads them or not
        read = dict.fromkeys([*(m.source for m in models), *(v.source for v in views)])
        tasks = [self._snapshot(name) for name in dict.fromkeys([*read, *(v.source for v in everywhere)])]
        tasks.append(self._check_features())
        tasks += [self._check_source(name) for name in read]
        tasks += [self._build(view) for view in views]
        for model in models:
            tasks += self._of_model(model)
        return _up_to(tasks, self.wish.until)

    def _of_model(self, model: Model) -> list[Task]:
        tasks = [
            self._assemble(model),
            self._train(model),
            self._check_table(model),
            self._check_model(model),
            self._package(model),
            self._check_service(model),
            self._register(model),
        ]
        return [*tasks, self._deploy(model, self.wish.environment)] if self.wish.environment else tasks

    # -- the sources ------------------------------------------------------------------------------------------

    def _snapshot(self, source: str) -> Task:
        settings = self.workspace.config.sources[source]
        identity = fingerprint(settings, self.workspace.root)
        if identity is None:
            identity = _fresh(settings, self.workspace.root)

        return Task(
            step="snapshot",
            version=snapshot.VERSION,
            subject=source,
            run=lambda _: snapshot.snapshot(self.workspace, source=source),
            ingredients=None if identity is None else (lambda _: {"source": identity}),
        )

    def _check_features(self) -> Task:
        catalog = self.workspace.catalog
        sources = tuple(dict.fromkeys(view.source for view in catalog.views.values()))
        return Task(
            step="check-features",
            version=check_features.VERSION,
            subject="",
            needs=tuple(f"snapshot:{name}" for name in sources),
            judging=True,
            run=lambda done: check_features.check_features(
                self.workspace,
                views=tuple(catalog.views.values()),
                on_demands=tuple(catalog.on_demands.values()),
                snapshots={name: done[f"snapshot:{name}"] for name in sources},
            ),
            ingredients=lambda done: ingredients.tested(self.workspace, catalog, done.values()),
        )

    def _check_source(self, source: str) -> Task:
        readers = tuple(m for m in self.wish.models if m.source == source)
        taken = f"snapshot:{source}"
        return Task(
            step="check-data",
            version=check_data.VERSION,
            subject=source,
            needs=(taken,),
            judging=True,
            run=lambda done: check_data.check_source(
                self.workspace, source=source, snapshot=done[taken], models=readers, deepchecks=self._checks()
            ),
            ingredients=lambda done: ingredients.source_judged(self.workspace, source, done[taken], readers),
        )

    def _build(self, view: FeatureView) -> Task:
        taken = f"snapshot:{view.source}"
        return Task(
            step="build-features",
            version=build_features.VERSION,
            subject=view.name,
            needs=(taken,),
            run=lambda done: build_features.build_features(self.workspace, view=view, snapshot=done[taken]),
            ingredients=lambda done: ingredients.built(self.workspace, view, done[taken]),
        )

    # -- the models -------------------------------------------------------------------------------------------

    def _assemble(self, model: Model) -> Task:
        views, _ = self.workspace.catalog.pinned(model)
        taken = f"snapshot:{model.source}"
        settings = self._settings(model)
        return Task(
            step="assemble",
            version=assemble.VERSION,
            subject=model.name,
            needs=(taken, *(f"build-features:{v.name}" for v in views)),
            run=lambda done: assemble.assemble(
                self.workspace,
                model=model,
                snapshot=done[taken],
                features={v.name: done[f"build-features:{v.name}"] for v in views},
                settings=settings,
            ),
            ingredients=lambda done: ingredients.joined(self.workspace, model, done.values(), settings),
        )

    def _train(self, model: Model) -> Task:
        table = f"assemble:{model.name}"
        settings = self._settings(model)
        return Task(
            step="train",
            version=train.VERSION,
            subject=model.name,
            needs=(table,),
            run=lambda done: train.train(
                self.workspace,
                model=model,
                assembled=done[table],
                settings=settings,
                seed=self.workspace.config.seed,
                progress=lambda text: self.observer.progress(f"train:{model.name}", text),
            ),
            ingredients=lambda done: ingredients.fitted(self.workspace, model, done[table], settings),
        )

    def _check_table(self, model: Model) -> Task:
        table = f"assemble:{model.name}"
        return Task(
            step="check-data",
            version=check_data.VERSION,
            subject=model.name,
            needs=(table,),
            after=self._earlier(model),
            judging=True,
            run=lambda done: check_data.check_table(
                self.workspace,
                model=model,
                assembled=done[table],
                champion=self._champion(model, done[table]),
                deepchecks=self._checks(),
            ),
            ingredients=lambda done: ingredients.table_judged(
                self.workspace, model, done[table], _named(self._champion(model, done[table]))
            ),
        )

    def _check_model(self, model: Model) -> Task:
        table, fit = f"assemble:{model.name}", f"train:{model.name}"
        settings = self._settings(model)
        built = tuple(f"build-features:{view.name}" for view in self._views())

        def run(done: Records) -> Record:
            record = check_model.check_model(
                self.workspace,
                model=model,
                assembled=done[table],
                trained=done[fit],
                settings=settings,
                champion=self._to_beat(model, done[fit], {done[name].subject: done[name] for name in built}),
                deepchecks=self._checks(),
            )
            against = _named(self._champion(model, done[fit]))
            return dataclasses.replace(record, facts={**record.facts, "champion": against})

        return Task(
            step="check-model",
            version=check_model.VERSION,
            subject=model.name,
            needs=(table, fit, *built),
            after=self._earlier(model),
            judging=True,
            run=run,
            ingredients=lambda done: ingredients.judged(
                self.workspace, model, done.values(), settings, _named(self._champion(model, done[fit]))
            ),
        )

    def _package(self, model: Model) -> Task:
        table, fit = f"assemble:{model.name}", f"train:{model.name}"
        sources = ingredients.travelling(self.workspace, model)
        return Task(
            step="package",
            version=package.VERSION,
            subject=model.name,
            needs=(table, fit),
            run=lambda done: package.package(
                self.workspace,
                model=model,
                trained=done[fit],
                assembled=done[table],
                settings=self.workspace.config.package,
                sources=sources,
            ),
            ingredients=lambda done: ingredients.packaged(self.workspace, model, done.values(), sources),
        )

    def _check_service(self, model: Model) -> Task:
        bento = f"package:{model.name}"
        return Task(
            step="check-service",
            version=check_service.VERSION,
            subject=model.name,
            needs=(bento,),
            judging=True,
            run=lambda done: self._booted(done[bento]),
            ingredients=lambda done: ingredients.booted(self.workspace, done[bento]),
        )

    def _booted(self, packaged: Record) -> Record:
        """Judge the bento in a copy of its own: a server writes into its folder, and the stored one stays as it is."""
        with tempfile.TemporaryDirectory(prefix="bento-", dir=self.workspace.scratch) as folder:
            bento = Path(folder) / "bento"
            self.workspace.objects.get_tree(packaged.outputs["bento"], bento)
            record = check_service.check_service(self.workspace, bento=bento, limits=self.workspace.config.load)
        return dataclasses.replace(record, subject=packaged.subject)

    def _register(self, model: Model) -> Task:
        names = {step: f"{step}:{model.name}" for step in ("assemble", "train", "check-model", "package")}
        views, computed = self.workspace.catalog.pinned(model)
        read = dict.fromkeys([model.source, *(view.source for view in views)])
        gates = ("check-features", *(f"check-data:{name}" for name in read), f"check-data:{model.name}")
        gates = (*gates, names["check-model"], names["package"], f"check-service:{model.name}")
        snapshots = tuple(f"snapshot:{name}" for name in read)

        def run(done: Records) -> Record:
            work = register.Work(
                snapshots=tuple(done[name] for name in snapshots),
                assembled=done[names["assemble"]],
                trained=done[names["train"]],
                checked=done[names["check-model"]],
                packaged=done[names["package"]],
                gates=tuple(done[name] for name in gates),
                code=ingredients.code(self.workspace, [model])[model.name],
                features=ingredients.code(self.workspace, [*views, *computed]),
                commit=self.push.commit,
                dirty=self.push.dirty,
            )
            return register.register(
                self.workspace,
                model=model,
                work=work,
                record_release=lambda manifest, contract, payload: self.recorder.call(
                    lambda ledger, run_id: ledger.register(manifest, contract, payload, run_id, self.push.tags())
                ),
            )

        return Task(
            step="register",
            version=register.VERSION,
            subject=model.name,
            needs=(*snapshots, *names.values(), *gates),
            run=run,
            ingredients=lambda done: {
                "work": {r.name: [r.key, dict(r.outputs)] for r in done.values()},
                "ledger": self._ledger,
            },
            still=lambda record: register.is_whole(self.workspace.releases / str(record.facts["release"])),
        )

    def _deploy(self, model: Model, environment: str) -> Task:
        release = f"register:{model.name}"
        return Task(
            step="deploy",
            version=deploy.VERSION,
            subject=model.name,
            needs=(release,),
            after=self._earlier(model),
            run=lambda done: self._live(model, environment, str(done[release].facts["release"])),
            ingredients=lambda done: {"release": done[release].facts["release"], "environment": environment},
            still=lambda record: self._stands(model, environment, str(record.facts["release"])),
        )

    def _stands(self, model: Model, environment: str, release: str) -> bool:
        live = chosen.target(self.workspace, environment).standing(model.family).live
        return live == release or self._overtaken(model, environment, release)

    def _live(self, model: Model, environment: str, release: str) -> Record:
        if self._overtaken(model, environment, release):
            facts = {"environment": environment, "release": release, "changed": False}
            summary = f"{environment}: {release} was live before a newer version"
            return Record(step="deploy", subject=model.name, facts={**facts, "summary": summary})
        record = deploy.deploy(
            self.workspace,
            environment=environment,
            release=release,
            reason=self.wish.reason,
            prepare=lambda manifest, online: publish_features(self.workspace, self.index, manifest, online),
        )
        how = "is live" if record.facts["changed"] else "was live already"
        facts = {**record.facts, "summary": f"{environment}: {release} {how}"}
        return dataclasses.replace(record, subject=model.name, facts=facts)

    def _overtaken(self, model: Model, environment: str, release: str) -> bool:
        """Whether the release has been live and a newer version of the same wish follows: going back is rollback's."""
        newest = max(m.version for m in self.wish.models if m.family == model.family)
        if model.version == newest:
            return False
        events = chosen.target(self.workspace, environment).history(model.family)
        return any(event.to == release and event.outcome == "done" for event in events)

    # -- what they share --------------------------------------------------------------------------------------

    def _views(self) -> tuple[FeatureView, ...]:
        """The views that the wished models read, and those that their champions do and that are still declared."""
        declared = self.workspace.catalog.views
        views = {v.name: v for model in self.wish.models for v in self.workspace.catalog.pinned(model)[0]}
        for model in self.wish.models:
            read = champion.views(self.workspace, model.family, self.wish.environment)
            views |= {name: declared[name] for name in read if name in declared}
        return tuple(views.values())

    def _settings(self, model: Model) -> ModelSettings:
        return self.workspace.config.settings(model.family, model.name)

    def _earlier(self, model: Model) -> tuple[str, ...]:
        """The deployment of the family's version before: it is the champion that this one is compared with."""
        before = [m for m in self.wish.models if m.family == model.family and m.version < model.version]
        return tuple(f"deploy:{m.name}" for m in before if self.wish.environment)

    def _champion(self, model: Model, work: Record) -> Manifest | None:
        return champion.against(self.workspace, model.family, self.wish.environment, work)

    def _to_beat(self, model: Model, trained: Record, features: Records) -> check_model.Champion | None:
        live = self._champion(model, trained)
        if live is None:
            return None
        return check_model.Champion(
            release=live.release,
            classes=champion.contract(self.workspace, live).classes,
            predict=lambda rows: champion.predictions(self.workspace, live, rows, features),
        )

    def _checks(self) -> Deepchecks | None:
        with self._lock:
            if self._deepchecks is None and self.workspace.config.deepchecks:
                self._deepchecks = Deepchecks(self.workspace.scratch)
            return self._deepchecks


def _fresh(settings: Source, root: Path) -> str | None:
    """A name for a snapshot that is young enough to be used again; None where it has to be taken anew."""
    module, _, name = (settings.function or "").partition(":")
    code = function_digest(module, name, root) if name else ""
    age = duration(settings.max_age).total_seconds()
    if age <= 0:
        return None
    return keys.key_of(
        "source", {"settings": msgspec.to_builtins(settings), "code": code, "period": int(time.time() // age)}
    )


def _named(manifest: Manifest | None) -> str:
    return "" if manifest is None else manifest.release


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
