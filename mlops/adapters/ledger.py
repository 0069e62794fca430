"""The ledger: what happened, append-only, in MLflow.

Through `MlflowClient` with explicit run ids; the fluent API keeps the active run in a global. A push is a
run, its steps are child runs, a release is a registered model version that carries the manifest, and
deployments are runs too. Models are recorded as files with a signature and without a Python loader:
MLflow's own loaders execute code, so nothing of ours can be loaded by them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops.adapters import ledger_words as words
from mlops.adapters.ledger_file import DATABASE
from mlops.adapters.ledger_opening import quiet_and_quick, set_process_wide, tracking_uri, whole
from mlops.adapters.lock import locked
from mlops.adapters.outside import outside
from mlops.contract import Contract
from mlops.release import Event, Manifest
from mlops.verdict import Outcome, Override, Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_WELL = (Outcome.PASS, Outcome.OVERRIDDEN)
_BUSY = "the ledger is being written"
_EVENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A run as the ledger has it."""

    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


class Ledger:
    """One project's experiment in MLflow. Opening it imports MLflow, which takes two seconds."""

    def __init__(self, home: Path, project: str) -> None:
        """Open or create the experiment; OutsideError when the server does not answer."""
        self.uri = tracking_uri(home)
        quiet_and_quick()
        from mlflow import MlflowClient

        set_process_wide(self.uri)
        self._lock = home / ".ledger.lock"
        # Two processes would make the same tables at once, and one that is killed leaves some of them.
        with self._outside(), locked(self._lock, _BUSY), whole(home / DATABASE):
            self.client: MlflowClient = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            self.experiment = self._experiment(project, home)

    def begin(self, name: str, tags: Mapping[str, str]) -> str:
        """Open the run of a push or command; gives its id."""
        with self._outside():
            run = self.client.create_run(self.experiment, tags=words.tags(tags), run_name=name)
        return str(run.info.run_id)

    def record(self, record: Record, parent: str, tags: Mapping[str, str]) -> str:
        """Write a finished step as a child run with parameters, metrics, datasets and verdict; gives its id."""
        with self._outside():
            begun = int(record.started * 1000)
            told = words.tags({**tags, "mlflow.parentRunId": parent, **words.facts(record)})
            run = self.client.create_run(self.experiment, begun, told, record.name)
            run_id = str(run.info.run_id)
            self._log(run_id, record)
            status = "FAILED" if record.verdict is not None and not record.verdict.accepted else "FINISHED"
            self.client.set_terminated(run_id, status, begun + int(record.seconds * 1000))
        return run_id

    def run(self, run_id: str) -> Told:
        """What the ledger was told of a run; OutsideError where it knows none of that id."""
        with self._outside():
            found = self.client.get_run(run_id)
        return Told(tags=dict(found.data.tags), params=dict(found.data.params), metrics=dict(found.data.metrics))

    def end(self, run_id: str, outcome: Outcome, error: str = "") -> None:
        """Close the run of a push with its overall outcome."""
        with self._outside():
            self.client.set_tag(run_id, "mlops.outcome", outcome.value)
            if error:
                self.client.set_tag(run_id, "mlops.error", error[: words.TAG_LENGTH])
            self.client.set_terminated(run_id, "FINISHED" if outcome in _WELL else "FAILED")

    def begun(self, token: str) -> str:
        """The run of a push that was begun with this token; "" where it never came to that."""
        with self._outside():
            found = self.client.search_runs([self.experiment], f"tags.`mlops.token` = '{token}'", max_results=1)
        return str(found[0].info.run_id) if found and token else ""

    def killed(self, run_id: str) -> None:
        """Close a run whose process is gone, and those of its steps that were being written."""
        mine = f"tags.`mlflow.parentRunId` = '{run_id}' and attributes.status = 'RUNNING'"
        with self._outside():
            halves = [run.info.run_id for run in self.client.search_runs([self.experiment], mine)]
            for left in (*halves, run_id):
                self.client.set_tag(left, "mlops.error", "the process was killed")
                self.client.set_terminated(left, "KILLED")

    def register(
        self, manifest: Manifest, contract: Contract, payload: Path, parent: str, tags: Mapping[str, str]
    ) -> tuple[str, str]:
        """Record a release as a version of the registered model of its family; gives (version, run id).

        The release is a run of its own, with the metrics, the datasets and the model as a logged model with
        a signature. A release that is registered already keeps its version.
        """
        with self._outside(), locked(self._lock, _BUSY):  # two runs of the same work would make two versions of it
            known = self._version_of(manifest)
            if known is not None:
                if not manifest.dirty:  # it may have been made of unsaved changes at first
                    self.client.set_model_version_tag(manifest.family, known[0], "mlops.commit", manifest.commit)
                return known
            run_id = self._release_run(manifest, parent, tags)
            model_id = self._logged_model(manifest, contract, payload, run_id)
            facts = {"mlops.release": manifest.release, "mlops.form": manifest.form, "mlops.commit": manifest.commit}
            evidence = {f"mlops.gate.{gate}": outcome for gate, outcome in manifest.evidence.items()}
            version = self.client.create_model_version(
                manifest.family,
                f"models:/{model_id}",
                run_id,
                tags=words.tags({**facts, **evidence}),
                description=words.description(manifest),
                model_id=model_id,
            )
            self.client.set_registered_model_alias(manifest.family, manifest.model.replace("_", "-"), version.version)
            self.client.set_terminated(run_id, "FINISHED")
        return str(version.version), run_id

    def event(self, event: Event) -> None:
        """Record a deployment or rollback, and move the environment's alias to what is live now."""
        tags = {f"mlops.{name}": str(value) for name, value in msgspec.to_builtins(event).items()}
        with self._outside():
            begun = words.milliseconds(event.at)
            run = self.client.create_run(
                self.experiment,
                begun,
                words.tags({"mlops.step": event.action, **tags}),
                f"{event.action}:{event.environment}",
            )
            self.client.log_metric(run.info.run_id, "seconds", event.seconds)
            done = event.outcome == "done"
            self.client.set_terminated(
                run.info.run_id, "FINISHED" if done else "FAILED", begun + int(event.seconds * 1000)
            )
            moves = event.action in ("deploy", "rollback")
            version = self._find_version(event.family, event.to) if done and moves else None
            if version is not None:
                self.client.set_registered_model_alias(event.family, event.environment, version.version)

    def override(self, override: Override) -> None:
        """Record that a person lets a gate's "no" pass, or ended that."""
        tags = {f"mlops.{name}": str(value) for name, value in msgspec.to_builtins(override).items()}
        with self._outside():
            began = words.milliseconds(override.at)
            name = f"{'end of ' if override.ended else ''}override:{override.gate}"
            run = self.client.create_run(self.experiment, began, words.tags({"mlops.step": "override", **tags}), name)
            self.client.set_terminated(run.info.run_id, "FINISHED", began)

    def overrides(self, *, days: int | None = None) -> tuple[Override, ...]:
        """The overrides of the last `days`, and their ends; without a number all of them."""
        wanted = "tags.`mlops.step` = 'override'"
        if days is not None:
            wanted += f" and attributes.start_time > {int((time.time() - days * 86_400) * 1000)}"
        found, page = [], None
        with self._outside():
            while page != "":
                runs = self.client.search_runs([self.experiment], wanted, page_token=page)
                found += [words.override(run.data.tags) for run in runs]
                page = runs.token or ""
        return tuple(found)

    def events(self, action: str, *, environment: str, family: str) -> tuple[Event, ...]:
        """What the ledger knows of one kind of event of a family in an environment: the newest hundred."""
        wanted = f"tags.`mlops.step` = '{action}' and tags.`mlops.family` = '{family}'"
        wanted += f" and tags.`mlops.environment` = '{environment}'"
        newest = ["attributes.start_time DESC"]
        with self._outside():
            runs = self.client.search_runs([self.experiment], wanted, max_results=_EVENTS, order_by=newest)
        return tuple(words.event(run.data.tags) for run in runs if "mlops.outcome" in run.data.tags)

    def _experiment(self, project: str, home: Path) -> str:
        known = self.client.get_experiment_by_name(project)
        if known is not None:
            return str(known.experiment_id)
        local = (home / "artifacts").as_uri() if self.uri.startswith("sqlite") else None
        return str(self.client.create_experiment(project, artifact_location=local))

    def _log(self, run_id: str, record: Record) -> None:
        self.client.log_batch(run_id, metrics=words.metrics(record), params=words.params(record.params))
        if record.inputs:
            self.client.log_inputs(run_id, words.datasets(record.inputs))
        if record.verdict is not None:
            self.client.log_dict(run_id, msgspec.to_builtins(record.verdict), "verdict.json")

    def _version_of(self, manifest: Manifest) -> tuple[str, str] | None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_registered_model(manifest.family)
        except MlflowException:
            self.client.create_registered_model(manifest.family, description=f"Releases of {manifest.family}")
            return None
        found = self._find_version(manifest.family, manifest.release)
        return None if found is None else (str(found.version), str(found.run_id))

    def _find_version(self, family: str, release: str) -> ModelVersion | None:
        found = self.client.search_model_versions(f"name = '{family}' and tags.`mlops.release` = '{release}'")
        return found[0] if found else None

    def _release_run(self, manifest: Manifest, parent: str, tags: Mapping[str, str]) -> str:
        code = {manifest.model: manifest.code, **manifest.features}
        own = {
            "mlflow.parentRunId": parent,
            "mlops.step": "register",
            "mlops.release": manifest.release,
            "mlops.champion": manifest.champion,
            "mlops.packages": manifest.environment,
            **{f"mlops.code.{name}": digest for name, digest in code.items()},
        }
        run = self.client.create_run(self.experiment, tags=words.tags({**tags, **own}), run_name=manifest.release)
        run_id = str(run.info.run_id)
        self.client.log_batch(run_id, params=words.params(manifest.params))
        self.client.log_inputs(run_id, words.datasets(manifest.snapshot, "training"))
        return run_id

    def _logged_model(self, manifest: Manifest, contract: Contract, payload: Path, run_id: str) -> str:
        from mlflow.entities import LoggedModelStatus, Metric
        from mlflow.models import Model

        logged = self.client.create_logged_model(
            self.experiment,
            manifest.model,
            run_id,
            tags=words.tags({"mlops.release": manifest.release}),
            params=words.shortened(manifest.params),
            model_type=manifest.task,
        )
        model_id = str(logged.model_id)
        now = int(time.time() * 1000)
        with tempfile.TemporaryDirectory() as folder:
            flavors = {"mlops": {"release": manifest.release, "form": manifest.form}}
            described = Model(run_id=run_id, flavors=flavors, signature=words.signature(contract), model_id=model_id)
            described.save(str(Path(folder) / "MLmodel"))
            (Path(folder) / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
            self.client.log_model_artifacts(model_id, folder)
        self.client.log_model_artifacts(model_id, str(payload))
        self.client.finalize_logged_model(model_id, LoggedModelStatus.READY)
        metrics = [
            Metric(words.name(k), float(v), now, 0, model_id=model_id, run_id=run_id)
            for k, v in manifest.metrics.items()
        ]
        self.client.log_batch(run_id, metrics=metrics)
        return model_id

    def _outside(self) -> AbstractContextManager[None]:
        """Every failure of MLflow is the outside world's, and says where we looked for it."""
        return outside(
            f"the ledger at {self.uri}",
            next_step="start the MLflow server, or unset MLFLOW_TRACKING_URI to use the local ledger",
        )
