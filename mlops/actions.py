"""What each task does: the step it calls with what it needs, and the ingredients of its key.

Which task needs which is the pipeline's matter; here, needed records are looked up by their tasks' names.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlops import champion, exhibits, ingredients, pins, unsaved
from mlops.adapters.deepchecks import Deepchecks
from mlops.adapters.index import Index
from mlops.adapters.sources import fingerprint
from mlops.config import ModelSettings
from mlops.declare import FeatureView, Model, duration
from mlops.errors import GateFailed, OutsideError
from mlops.execution import Observer, Records
from mlops.gates.overrides import in_force, overridable, overridden
from mlops.gates.pinned import judge as judge_pinned
from mlops.gates.severities import apply
from mlops.parts.building import forget_parts
from mlops.publishing import Fresh, publish_features, publish_retained
from mlops.recording import Push, Recorder
from mlops.refitting import NotRefitted, Refittable
from mlops.release import Manifest
from mlops.steps import (
    assemble,
    build_features,
    check_data,
    check_features,
    check_model,
    check_service,
    deploy,
    materialize,
    monitor,
    override,
    package,
    register,
    snapshot,
    train,
)
from mlops.steps.check_model import Champion
from mlops.steps.check_service import Rival, Training
from mlops.targets import chosen
from mlops.targets.protocol import MOVES
from mlops.verdict import Override, Record
from mlops.watched import Met, NothingMet, of_decisions, of_outcomes, of_source
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

_WITHOUT_CHECKS = ("snapshot", "check-features", "build-features", "assemble", "train", "package", "check-service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for: these models and views, up to this step, deployed there."""

    command: str
    models: tuple[Model, ...] = ()
    views: tuple[FeatureView, ...] = ()
    families: tuple[str, ...] = ()  # of what is live, where it is monitored
    until: str = "deploy"
    environment: str | None = None
    environments: tuple[str, ...] = ()  # where views are materialized, or what is live is monitored
    reason: str = ""
    anew: frozenset[str] = frozenset()  # steps that are computed again, whatever is known
    allow_dirty: bool = False  # whether unsaved changes may go where they are refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a task does with the records it needs; the fields are those of `execution.Task`."""

    version: int
    run: Callable[[Records], Record]
    ingredients: Callable[[Records], Mapping[str, Any]] | None
    still: Callable[[Record], bool] = lambda _: True
    recorded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A live release that is monitored: its model where that is still declared, and the views and sources it reads."""

    environment: str
    live: Manifest
    model: Model | None
    views: tuple[FeatureView, ...] = ()
    sources: tuple[str, ...] = ()


class Actions:
    """The actions of one wish, and what they share; a context manager."""

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
        self._measuring = threading.Lock()
        self._asking = threading.Lock()
        self._in_force: tuple[Override, ...] | None = None

    def __enter__(self) -> Self:
        """Ready; deepchecks starts with the first computed step."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started."""
        if self._deepchecks is not None:
            self._deepchecks.close()

    def settled(self, record: Record) -> Record:
        """The record with the severities of the configuration, and with what a person lets pass as overridden.

        The ledger is asked after a "no" alone, and one that does not answer overrides nothing. A step that built
        nothing has nothing to go on with.
        """
        if record.verdict is None:
            return record
        judged = apply(record.verdict.findings, self.workspace.config.severity)
        verdict = dataclasses.replace(record.verdict, findings=judged)
        builds = not record.step.startswith("check-")
        if not verdict.accepted and overridable(verdict) and (record.outputs or not builds):
            verdict = overridden(verdict, self._overrides())
        return dataclasses.replace(record, verdict=verdict)

    def _overrides(self) -> tuple[Override, ...]:
        with self._asking:
            if self._in_force is None:
                try:
                    events = self.recorder.call(lambda ledger, _: ledger.overrides(days=override.LONGEST + 1))
                except OutsideError:
                    events = ()
                self._in_force = in_force(events, datetime.now(UTC).date())
            return self._in_force

    def snapshot(self, source: str) -> Action:
        """Take a source; a file is known by its content, a function or query by `max_age`."""
        settings = self.workspace.config.sources[source]
        age = duration(settings.max_age).total_seconds()
        by_content = settings.path is not None

        def identity(_: Records) -> dict[str, str]:
            content = fingerprint(settings, self.workspace.root) if by_content else None
            return {"source": content or ingredients.origin(settings, self.workspace.root)}

        return Action(
            version=snapshot.VERSION,
            run=lambda _: self._taken(source),
            ingredients=identity if by_content or age > 0 else None,
            still=lambda record: by_content or abs(time.time() - record.started) < age,  # a clock may go back
        )

    def _taken(self, source: str) -> Record:
        if self.wish.until not in _WITHOUT_CHECKS:
            self._checks()  # deepchecks imports for seconds: from now on, beside what comes before it
        return snapshot.snapshot(self.workspace, source=source)

    def check_features(self) -> Action:
        """Test every view and on-demand feature."""
        catalog = self.workspace.catalog
        sources = tuple(dict.fromkeys(view.source for view in catalog.views.values()))
        releases, unknown = pins.retained(self.workspace)
        pinned = judge_pinned(pins.changed(self.workspace, releases), unknown)
        return Action(
            version=check_features.VERSION,
            run=lambda done: check_features.check_features(
                self.workspace,
                views=tuple(catalog.views.values()),
                on_demands=tuple(catalog.on_demands.values()),
                snapshots={name: done[f"snapshot:{name}"] for name in sources},
                pinned=pinned,
            ),
            ingredients=lambda done: ingredients.tested(self.workspace, catalog, done.values(), pinned),
        )

    def check_source(self, source: str) -> Action:
        """Judge a source against its schema, and for integrity."""
        monitored = [one.model for one in self.watched() if one.model] if self.wish.until == "monitor" else []
        readers = tuple(m for m in monitored or self.wish.models if m.source == source)
        taken = f"snapshot:{source}"
        return Action(
            version=check_data.VERSION,
            run=lambda done: check_data.check_source(
                self.workspace, source=source, snapshot=done[taken], models=readers, deepchecks=self._checks()
            ),
            ingredients=lambda done: ingredients.source_judged(self.workspace, source, done[taken], readers),
        )

    def build_features(self, view: FeatureView) -> Action:
        """Compute a view."""
        taken = f"snapshot:{view.source}"
        return Action(
            version=build_features.VERSION,
            run=lambda done: self._built(view, done[taken]),
            ingredients=lambda done: ingredients.built(self.workspace, view, done[taken]),
        )

    def _built(self, view: FeatureView, taken: Record) -> Record:
        if "build-features" in self.wish.anew:
            forget_parts(self.workspace, view)
        return build_features.build_features(
            self.workspace,
            view=view,
            snapshot=taken,
            progress=lambda text: self.observer.progress(f"build-features:{view.name}", text),
        )

    def assemble(self, model: Model) -> Action:
        """Join and split a model's table."""
        views, _ = self.workspace.catalog.pinned(model)
        taken = f"snapshot:{model.source}"
        settings = self._settings(model)
        return Action(
            version=assemble.VERSION,
            run=lambda done: assemble.assemble(
                self.workspace,
                model=model,
                snapshot=done[taken],
                features={v.name: done[f"build-features:{v.name}"] for v in views},
                settings=settings,
            ),
            ingredients=lambda done: ingredients.joined(self.workspace, model, done.values(), settings),
        )

    def train(self, model: Model) -> Action:
        """Fit a model."""
        table = f"assemble:{model.name}"
        settings = self._settings(model)
        return Action(
            version=train.VERSION,
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

    def check_table(self, model: Model) -> Action:
        """Judge a model's table, and its drift since the champion was trained."""
        table = f"assemble:{model.name}"
        return Action(
            version=check_data.VERSION,
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

    def check_model(self, model: Model) -> Action:
        """Judge a model, and compare it with the champion."""
        table, fit = f"assemble:{model.name}", f"train:{model.name}"
        settings = self._settings(model)

        def run(done: Records) -> Record:
            features = {record.subject: record for record in done.values() if record.step == "build-features"}
            record = check_model.check_model(
                self.workspace,
                model=model,
                assembled=done[table],
                trained=done[fit],
                settings=settings,
                champion=self._to_beat(model, done[fit], features),
                deepchecks=self._checks(),
            )
            against = self._champion(model, done[fit])
            before = {"champion": _named(against), "champion_metrics": dict(against.metrics) if against else {}}
            return dataclasses.replace(record, facts={**record.facts, **before})

        return Action(
            version=check_model.VERSION,
            run=run,
            ingredients=lambda done: ingredients.judged(
                self.workspace, model, done.values(), settings, _named(self._champion(model, done[fit]))
            ),
        )

    def package(self, model: Model) -> Action:
        """Build the bento."""
        table, fit = f"assemble:{model.name}", f"train:{model.name}"
        sources = ingredients.travelling(self.workspace, model)
        return Action(
            version=package.VERSION,
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

    def check_service(self, model: Model) -> Action:
        """Boot the bento and ask it, and put it under load in turn with the champion's."""
        bento = f"package:{model.name}"
        views, _ = self.workspace.catalog.pinned(model)

        def rival(done: Records) -> Manifest | None:
            return champion.beside(self.workspace, model.family, self.wish.environment, done[bento])

        def run(done: Records) -> Record:
            built = {view.name: done[f"build-features:{view.name}"] for view in views}
            training = Training(assembled=done[f"assemble:{model.name}"], views=tuple(views), features=built)
            return self._booted(done[bento], training, rival(done))

        return Action(
            version=check_service.VERSION,
            run=run,
            ingredients=lambda done: ingredients.booted(self.workspace, done.values(), _named(rival(done))),
        )

    def _booted(self, packaged: Record, training: Training, live: Manifest | None) -> Record:
        """Judge the bento in a copy of its own: a server writes into its folder, and the stored one stays as it is."""
        # One load test at a time: two beside each other measure each other.
        with self._measuring, tempfile.TemporaryDirectory(prefix="bento-", dir=self.workspace.scratch) as folder:
            bento = Path(folder) / "bento"
            self.workspace.objects.get_tree(packaged.outputs["bento"], bento)
            rival = None
            if live is not None:
                copied = shutil.copytree(champion.bento(self.workspace, live), Path(folder) / "champion")
                rival = Rival(release=live.release, bento=copied)
            record = check_service.check_service(
                self.workspace, bento=bento, limits=self.workspace.config.load, training=training, rival=rival
            )
        return dataclasses.replace(record, subject=packaged.subject, facts={**record.facts, "champion": _named(live)})

    def register(self, model: Model, snapshots: Sequence[str], gates: Sequence[str]) -> Action:
        """Put the release in place; `snapshots` and `gates` name the tasks whose records it is made of."""
        names = {step: f"{step}:{model.name}" for step in ("assemble", "train", "check-model", "package")}
        views, computed = self.workspace.catalog.pinned(model)

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

        return Action(
            version=register.VERSION,
            run=run,
            ingredients=lambda done: {
                "work": {r.name: [r.key, _made(r), register.evidence(r)] for r in done.values()},
                "ledger": self._ledger,
                "dirty": self.push.dirty,  # what was made of unsaved changes is named by their commit once there is one
            },
            still=lambda record: register.is_whole(self.workspace.releases / str(record.facts["release"])),
        )

    def deploy(self, model: Model, environment: str) -> Action:
        """Bring the release live, unless it stands there."""
        release, began = f"register:{model.name}", time.time()
        return Action(
            version=deploy.VERSION,
            run=lambda done: self._live(
                model, environment, str(done[release].facts["release"]), Fresh(done, self._read_at(done, began))
            ),
            ingredients=None,
            recorded=False,
        )

    def materialize(self, views: Sequence[FeatureView], environment: str) -> Action:
        """Publish views, as of the moment at which their sources were read."""
        began = time.time()
        return Action(
            version=materialize.VERSION,
            run=lambda done: materialize.materialize(
                self.workspace,
                environment=environment,
                views=views,
                built={view.name: done[f"build-features:{view.name}"] for view in views},
                as_of=self._read_at(done, began),
            ),
            ingredients=None,
            recorded=False,
        )

    def watched(self) -> tuple[Watched, ...]:
        """What is live in the wished environments, of the wished families."""
        found = []
        for environment in self.wish.environments:
            target = chosen.target(self.workspace, environment)
            for family in self.wish.families:
                release = target.standing(family).live
                if release is not None:
                    found.append(self._watched(environment, champion.manifest(self.workspace, release)))
        return tuple(found)

    def _watched(self, environment: str, live: Manifest) -> Watched:
        catalog = self.workspace.catalog
        model = catalog.models.get(live.model)
        if model is None:
            return Watched(environment=environment, live=live, model=None)
        read = dict.fromkeys(one.view for one in champion.contract(self.workspace, live).stored)
        views = tuple(catalog.views[name] for name in read if name in catalog.views)
        return Watched(environment=environment, live=live, model=model, views=views, sources=(model.source,))

    def monitor_health(self, watched: Watched) -> Action:
        """Judge how a live release is served, every time."""
        return Action(
            version=monitor.VERSION,
            run=lambda _: monitor.health(self.workspace, environment=watched.environment, live=watched.live),
            ingredients=None,
        )

    def monitor_quality(self, watched: Watched) -> Action:
        """Judge what a live release meets, every time."""

        def run(done: Records) -> Record:
            features = {record.subject: record for record in done.values() if record.step == "build-features"}
            new = self._new_rows(watched, done, features)
            return monitor.quality(
                self.workspace,
                environment=watched.environment,
                live=watched.live,
                given=self._asked(watched, new),
                labelled=self._known_by(watched, new),
                settings=self.workspace.config.settings(watched.live.family, watched.live.model),
                index=self.index,
            )

        return Action(version=monitor.VERSION, run=run, ingredients=None)

    def _asked(self, watched: Watched, new: Met | NothingMet) -> Met | NothingMet:
        """What the service was asked; the source's new rows where that is too little, and these are more."""
        try:
            asked = of_decisions(self.workspace, watched.live, watched.environment)
        except NothingMet:
            return new
        few = len(asked.labels) < self.workspace.config.monitor.rows
        return new if few and not isinstance(new, NothingMet) and len(new.labels) > len(asked.labels) else asked

    def _known_by(self, watched: Watched, new: Met | NothingMet) -> Met | NothingMet:
        """What came of the service's answers, where the model names where that is told; else the source's new rows."""
        settings = self.workspace.config.settings(watched.live.family, watched.live.model)
        if settings.outcomes is None or watched.model is None:
            return new
        try:
            return of_outcomes(self.workspace, watched.live, watched.environment)
        except NothingMet as nothing:
            return nothing

    def _new_rows(self, watched: Watched, done: Records, features: Records) -> Met | NothingMet:
        model, live = watched.model, watched.live
        if model is None:
            return NothingMet(f"{live.model} is no longer declared", f"deploy a declared version of {live.family}")
        broken = [r.subject for r in done.values() if r.verdict is not None and not r.verdict.accepted]
        if broken:  # skew of the schema stops: what cannot be read right must not look like drift
            return NothingMet(f"the source {', '.join(broken)} did not pass check-data", "mend the source")
        try:
            return of_source(self.workspace, live, model, done[f"snapshot:{model.source}"], features)
        except NothingMet as nothing:
            return nothing

    def _read_at(self, done: Records, began: float) -> dict[str, float]:
        """When each source was read. A file that is unchanged was read now, as far as its content goes."""
        files = {name for name, source in self.workspace.config.sources.items() if source.path is not None}
        return {r.subject: began if r.subject in files else r.started for r in done.values() if r.step == "snapshot"}

    def _live(self, model: Model, environment: str, release: str, fresh: Fresh) -> Record:
        why = self._left_alone(model, environment, release)
        if why:
            facts = {"environment": environment, "release": "", "changed": False}
            said = f"{environment}: {why}{_stale(self._refreshed(environment, fresh))}"
            return Record(step="deploy", subject=model.name, facts={**facts, "summary": said})
        left: dict[str, str] = {}
        allowed, wished = self.wish.allow_dirty, self.wish.reason
        record = deploy.deploy(
            self.workspace,
            environment=environment,
            release=release,
            reason=unsaved.reason(self.workspace, environment, release, wished, allowed=allowed),
            prepare=lambda manifest, online: left.update(
                publish_features(self.workspace, self.index, manifest, online, fresh=fresh)
            ),
        )
        if not record.facts["changed"]:
            left = self._refreshed(environment, fresh)
        how = "is live" if record.facts["changed"] else "was live already"
        facts = {**record.facts, "summary": f"{environment}: {release} {how}{_stale(left)}"}
        return dataclasses.replace(record, subject=model.name, facts=facts)

    def _refreshed(self, environment: str, fresh: Fresh) -> dict[str, str]:
        """Bring what an environment's releases read up to date, though none of them moves."""
        online = chosen.local(self.workspace, environment).online
        return publish_retained(self.workspace, self.index, online, fresh=fresh)

    def _left_alone(self, model: Model, environment: str, release: str) -> str:
        """Why a release that has been live is not brought back by a run; "" where it is to go live.

        What a person rolled back stays so until a person deploys it again, and of several versions of one
        wish only the newest returns.
        """
        history = chosen.target(self.workspace, environment).history(model.family)
        events = [e for e in history if e.outcome == "done" and e.action in MOVES]
        if not any(event.to == release for event in events) or events[-1].to == release:
            return ""
        if events[-1].action == "rollback":
            who = f"{events[-1].who} rolled back to {events[-1].to}"
            return f"{who}; to bring {release} back: mlops deploy {environment} {release}"
        if model.version < max(m.version for m in self.wish.models if m.family == model.family):
            return f"{release} was live before a newer version"
        return ""

    def views(self) -> tuple[FeatureView, ...]:
        """The wished views, those that the wished models read, and those that their champions do, if still declared."""
        declared = self.workspace.catalog.views
        views = {v.name: v for v in self.wish.views}
        views |= {v.name: v for model in self.wish.models for v in self.workspace.catalog.pinned(model)[0]}
        for model in self.wish.models:
            read = champion.views(self.workspace, model.family, self.wish.environment)
            views |= {name: declared[name] for name in read if name in declared}
        return tuple(views.values())

    def kept(self) -> tuple[FeatureView, ...]:
        """The views that retained releases read, so that they stay fresh; none where nothing is to be deployed.

        Those of the wished families; where all families are wished, those of families that are no more too.
        """
        if self.wish.environment is None:
            return ()
        families = {model.family for model in self.wish.models}
        return pins.kept(self.workspace, None if families >= set(self.workspace.catalog.families()) else families)

    def _settings(self, model: Model) -> ModelSettings:
        return self.workspace.config.settings(model.family, model.name)

    def _champion(self, model: Model, work: Record) -> Manifest | None:
        return champion.against(self.workspace, model.family, self.wish.environment, work)

    def _to_beat(self, model: Model, trained: Record, features: Records) -> Champion | None:
        live = self._champion(model, trained)
        if live is None:
            return None
        return Champion(
            release=live.release,
            classes=champion.contract(self.workspace, live).classes,
            predict=lambda rows: champion.predictions(self.workspace, live, rows, features),
            again=lambda rows: self._again(live, rows, features),
        )

    def _again(self, live: Manifest, rows: pd.DataFrame, features: Records) -> Refittable:
        """The live release's estimator, as its training recorded it, to be fitted anew on some of these rows."""
        fit = self.index.find(live.records.get(f"train:{live.model}", ""))
        digest = "" if fit is None else fit.outputs.get("model", "")
        if not digest or not self.workspace.objects.has(digest):
            raise NotRefitted("the estimator of its training is not in this store")
        try:
            estimator = champion.estimator(self.workspace, digest)
            inputs = champion.inputs(self.workspace, live, rows, features)
        except GateFailed as error:
            raise NotRefitted(error.message) from error
        return Refittable(estimator, inputs, champion.contract(self.workspace, live))

    def _checks(self) -> Deepchecks | None:
        with self._lock:
            if self._deepchecks is None and self.workspace.config.deepchecks:
                self._deepchecks = Deepchecks(self.workspace.scratch)
            return self._deepchecks


def _stale(left: Mapping[str, str]) -> str:
    """What is to be said of features that stay online as they are."""
    return "".join(f"; {name} {why} and stays as it is online" for name, why in left.items())


def _made(record: Record) -> dict[str, str]:
    """A record's outputs without what people look at: what was measured under load differs each time."""
    return {name: digest for name, digest in record.outputs.items() if name != exhibits.OUTPUT}


def _named(manifest: Manifest | None) -> str:
    return "" if manifest is None else manifest.release
