"""The ledger: what happened, append-only, in MLflow.

Through `MlflowClient` with explicit run ids; the fluent API keeps the active run in a global. A push is a
run, its steps are child runs, a release is a registered model version that carries the manifest, and
deployments are runs too. Models are recorded as files with a signature and without a Python loader:
MLflow's own loaders execute code, so nothing of ours can be loaded by them.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops.adapters.files import sync
from mlops.adapters.lock import locked
from mlops.adapters.outside import outside
from mlops.contract import Contract
from mlops.release import Event, Manifest
from mlops.verdict import Outcome, Override, Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput
    from mlflow.entities.model_registry import ModelVersion

_WELL = (Outcome.PASS, Outcome.OVERRIDDEN)
_BUSY = "the ledger is being written"
_DATABASE = "mlflow.db"
_VARIABLE = "MLFLOW_TRACKING_URI"
_PARAM_LENGTH = 500  # what every MLflow backend takes
_TAG_LENGTH = 4500
_EVENTS = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A run as the ledger has it."""

    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


def tracking_uri(home: Path) -> str:
    """`MLFLOW_TRACKING_URI` where set, else a SQLite file in `.mlops`."""
    return os.environ.get(_VARIABLE) or f"sqlite:///{home / _DATABASE}"


class Ledger:
    """One project's experiment in MLflow. Opening it imports MLflow, which takes two seconds."""

    def __init__(self, home: Path, project: str) -> None:
        """Open or create the experiment; OutsideError when the server does not answer."""
        self.uri = tracking_uri(home)
        _quiet_and_quick()
        from mlflow import MlflowClient

        _set_process_wide(self.uri)
        self._lock = home / ".ledger.lock"
        # Two processes would make the same tables at once, and one that is killed leaves some of them.
        with self._outside(), locked(self._lock, _BUSY), _whole(home / _DATABASE):
            self.client: MlflowClient = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            self.experiment = self._experiment(project, home)

    def begin(self, name: str, tags: Mapping[str, str]) -> str:
        """Open the run of a push or command; gives its id."""
        with self._outside():
            run = self.client.create_run(self.experiment, tags=_tags(tags), run_name=name)
        return str(run.info.run_id)

    def record(self, record: Record, parent: str, tags: Mapping[str, str]) -> str:
        """Write a finished step as a child run with parameters, metrics, datasets and verdict; gives its id."""
        with self._outside():
            begun = int(record.started * 1000)
            own = {"mlflow.parentRunId": parent, "mlops.key": record.key, "mlops.step": record.step}
            everything = _tags({**tags, **own, "mlops.subject": record.subject, **_pointers(record), **_judged(record)})
            run = self.client.create_run(self.experiment, begun, everything, record.name)
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
                self.client.set_tag(run_id, "mlops.error", error[:_TAG_LENGTH])
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
                tags=_tags({**facts, **evidence}),
                description=_describe(manifest),
                model_id=model_id,
            )
            self.client.set_registered_model_alias(manifest.family, manifest.model.replace("_", "-"), version.version)
            self.client.set_terminated(run_id, "FINISHED")
        return str(version.version), run_id

    def event(self, event: Event) -> None:
        """Record a deployment or rollback, and move the environment's alias to what is live now."""
        tags = {f"mlops.{name}": str(value) for name, value in msgspec.to_builtins(event).items()}
        with self._outside():
            begun = int(_timestamp(event.at) * 1000)
            run = self.client.create_run(
                self.experiment,
                begun,
                _tags({"mlops.step": event.action, **tags}),
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
            began = int(_timestamp(override.at) * 1000)
            name = f"{'end of ' if override.ended else ''}override:{override.gate}"
            run = self.client.create_run(self.experiment, began, _tags({"mlops.step": "override", **tags}), name)
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
                found += [_override(run.data.tags) for run in runs]
                page = runs.token or ""
        return tuple(found)

    def events(self, action: str, *, environment: str, family: str) -> tuple[Event, ...]:
        """What the ledger knows of one kind of event of a family in an environment: the newest hundred."""
        wanted = f"tags.`mlops.step` = '{action}' and tags.`mlops.family` = '{family}'"
        wanted += f" and tags.`mlops.environment` = '{environment}'"
        newest = ["attributes.start_time DESC"]
        with self._outside():
            runs = self.client.search_runs([self.experiment], wanted, max_results=_EVENTS, order_by=newest)
        return tuple(_event(run.data.tags) for run in runs if "mlops.outcome" in run.data.tags)

    def _experiment(self, project: str, home: Path) -> str:
        known = self.client.get_experiment_by_name(project)
        if known is not None:
            return str(known.experiment_id)
        local = (home / "artifacts").as_uri() if self.uri.startswith("sqlite") else None
        return str(self.client.create_experiment(project, artifact_location=local))

    def _log(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        before = {f"champion.{name}": value for name, value in record.facts.get("champion_metrics", {}).items()}
        memory = {f"memory.{name}_mb": size / 1e6 for name, size in record.memory.items()}
        curves = _curves(record)
        metrics = {**record.metrics, **before, **memory, "seconds": record.seconds}
        self.client.log_batch(
            run_id,
            metrics=[
                *(Metric(_name(k), float(v), now, 0) for k, v in metrics.items() if k not in {c[0] for _, c in curves}),
                *(Metric(_name(k), float(v), int(at * 1000), step) for step, (k, at, v) in curves),
            ],
            params=[Param(_name(k), str(v)[:_PARAM_LENGTH]) for k, v in record.params.items()],
        )
        if record.inputs:
            given = {name: {"digest": digest} for name, digest in record.inputs.items()}
            self.client.log_inputs(run_id, [_dataset(name, described) for name, described in given.items()])
        if record.verdict is not None:
            findings = msgspec.to_builtins(record.verdict)
            self.client.log_dict(run_id, findings, "verdict.json")

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
        from mlflow.entities import Param

        code = {manifest.model: manifest.code, **manifest.features}
        own = {
            "mlflow.parentRunId": parent,
            "mlops.step": "register",
            "mlops.release": manifest.release,
            "mlops.champion": manifest.champion,
            "mlops.packages": manifest.environment,
            **{f"mlops.code.{name}": digest for name, digest in code.items()},
        }
        run = self.client.create_run(self.experiment, tags=_tags({**tags, **own}), run_name=manifest.release)
        run_id = str(run.info.run_id)
        params = [Param(_name(k), str(v)[:_PARAM_LENGTH]) for k, v in manifest.params.items()]
        self.client.log_batch(run_id, params=params)
        inputs = {name: {"digest": digest, "context": "training"} for name, digest in manifest.snapshot.items()}
        self.client.log_inputs(run_id, [_dataset(name, described) for name, described in inputs.items()])
        return run_id

    def _logged_model(self, manifest: Manifest, contract: Contract, payload: Path, run_id: str) -> str:
        from mlflow.entities import LoggedModelStatus, Metric
        from mlflow.models import Model

        logged = self.client.create_logged_model(
            self.experiment,
            manifest.model,
            run_id,
            tags=_tags({"mlops.release": manifest.release}),
            params={name: str(value)[:_PARAM_LENGTH] for name, value in manifest.params.items()},
            model_type=manifest.task,
        )
        model_id = str(logged.model_id)
        now = int(time.time() * 1000)
        with tempfile.TemporaryDirectory() as folder:
            flavors = {"mlops": {"release": manifest.release, "form": manifest.form}}
            described = Model(run_id=run_id, flavors=flavors, signature=signature(contract), model_id=model_id)
            described.save(str(Path(folder) / "MLmodel"))
            (Path(folder) / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
            self.client.log_model_artifacts(model_id, folder)
        self.client.log_model_artifacts(model_id, str(payload))
        self.client.finalize_logged_model(model_id, LoggedModelStatus.READY)
        metrics = [
            Metric(_name(k), float(v), now, 0, model_id=model_id, run_id=run_id) for k, v in manifest.metrics.items()
        ]
        self.client.log_batch(run_id, metrics=metrics)
        return model_id

    def _outside(self) -> AbstractContextManager[None]:
        """Every failure of MLflow is the outside world's, and says where we looked for it."""
        return outside(
            f"the ledger at {self.uri}",
            next_step="start the MLflow server, or unset MLFLOW_TRACKING_URI to use the local ledger",
        )


def signature(contract: Contract) -> Any:
    """The request's fields and the answer as an MLflow ModelSignature."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    kinds = {
        "float": DataType.double,
        "int": DataType.long,
        "bool": DataType.boolean,
        "string": DataType.string,
        "timestamp": DataType.datetime,
    }
    inputs = [ColSpec(kinds[f.kind], f.name, required=not f.nullable) for f in contract.fields]
    answer = DataType.double if contract.task == "regression" else DataType.string
    outputs = [ColSpec(answer, "prediction")]
    if contract.task == "binary":
        outputs.append(ColSpec(DataType.double, "probability"))
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


@contextmanager
def _whole(database: Path) -> Iterator[None]:
    """A local database that is made whole in here, or made anew by the next process."""
    unfinished = database.with_name(f"{database.name}.unfinished")
    if unfinished.exists():
        for left in database.parent.glob(f"{database.name}*"):
            if left != unfinished:
                left.unlink()
    elif not database.exists():
        unfinished.touch()
        sync(database.parent)
    yield
    unfinished.unlink(missing_ok=True)


def _set_process_wide(uri: str) -> None:
    """The SQL registry resolves `models:/<id>` through the process-wide URI, whatever its client was given.

    MLflow puts it into the environment too, where it would look like the user's wish to us and to the next project.
    """
    from mlflow import set_tracking_uri

    wished = os.environ.get(_VARIABLE)
    set_tracking_uri(uri)
    if wished is None:
        os.environ.pop(_VARIABLE, None)
    else:
        os.environ[_VARIABLE] = wished


def _quiet_and_quick() -> None:
    """Settings that MLflow reads when it is imported: fail in seconds, say nothing, call nobody."""
    for name, value in {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout holds the report, which may be JSON
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # what it logs with a traceback it raises too


def _dataset(name: str, described: Mapping[str, str]) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    # MLflow keeps 36 characters of a digest: ours, whole, is in the profile.
    digest = described["digest"]
    dataset = Dataset(
        name=name,
        digest=digest[:32],
        source_type=described.get("type", "local"),
        source=json.dumps({"uri": described.get("origin", name)}),
        profile=json.dumps({"sha256": digest, "rows": described.get("rows", "")}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", described.get("context", "input"))])


def _curves(record: Record) -> list[tuple[int, tuple[str, float, float]]]:
    """Values that a record knows of earlier times: (name, seconds since 1970, value), numbered in order of time."""
    curves = sorted(record.facts.get("curves", ()), key=lambda one: one[1])
    steps = {at: step for step, at in enumerate(dict.fromkeys(one[1] for one in curves))}
    return [(steps[one[1]], tuple(one)) for one in curves]


def _pointers(record: Record) -> dict[str, str]:
    """What a step was given, gave and called, by digest, and which release its work was judged against."""
    return {
        **{f"mlops.input.{_name(name)}": digest for name, digest in record.inputs.items()},
        **{f"mlops.output.{name}": digest for name, digest in record.outputs.items()},
        **{f"mlops.code.{name}": digest for name, digest in record.code.items()},
        "mlops.champion": str(record.facts.get("champion", "")),
    }


def _judged(record: Record) -> dict[str, str]:
    verdict = record.verdict
    if verdict is None:
        return {}
    fired = "; ".join(f"{f.check} {f.subject}: {f.message}" for f in verdict.fired)
    let_pass = "; ".join(f"{f.check}: {f.override.who}: {f.override.reason}" for f in verdict.overridden if f.override)
    return {"mlops.verdict": verdict.outcome.value, "mlops.fired": fired, "mlops.overridden": let_pass}


def _event(tags: Mapping[str, str]) -> Event:
    words = ("at", "action", "environment", "family", "to", "previous", "who", "reason", "outcome")
    told: dict[str, Any] = {name: tags.get(f"mlops.{name}", "") for name in words}
    return Event(**told, seconds=0.0, recorded=True)


def _override(tags: Mapping[str, str]) -> Override:
    names = [one.name for one in dataclasses.fields(Override) if one.name != "ended"]
    ended = tags.get("mlops.ended") == "True"
    return Override(**{name: tags.get(f"mlops.{name}", "") for name in names}, ended=ended)


def _describe(manifest: Manifest) -> str:
    features = ", ".join(sorted(manifest.features)) or "none stored"
    return f"Release {manifest.release} ({manifest.form}), commit {manifest.commit[:12]}, features: {features}"


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: str(value)[:_TAG_LENGTH] for name, value in tags.items() if value != ""}


def _name(text: str) -> str:
    """A name as MLflow takes it: a colon is none of its characters."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in text)


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
