"""All that `[tool.mlops]` of pyproject.toml may say, as frozen values, and its schema for editors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Share = Annotated[float, Meta(gt=0, lt=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Duration = Annotated[str, Meta(pattern=r"^\s*\d+(\.\d+)?\s*[smhdw]\s*$")]


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named table from outside: exactly one of `path`, `query` or `function`."""

    path: str | None = None  # a file, folder, glob or fsspec URL
    query: str | None = None  # SQL, with the database's URL in the variable `url_env`
    function: str | None = None  # "package.module:function", returns a DataFrame
    url_env: str = "MLOPS_SQL_URL"
    arguments: dict[str, Any] = {}
    format: Literal["csv", "parquet"] | None = None
    delimiter: str | None = None  # None: found out from the first lines
    encoding: str = "utf-8-sig"
    decimal: str = "."
    missing: tuple[str | float | int, ...] = ()  # further values that mean "missing", such as -200
    text: tuple[str, ...] = ()  # columns that are text even where they look like numbers, such as codes
    timestamps: dict[str, str] = {}  # column -> strptime format, or "" for ISO 8601
    schema: str | None = None  # the committed schema; default features/NAME.schema.yaml
    max_age: str = "0s"  # how long a snapshot is fresh enough to be used again


class Fairness(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a rate may differ between two groups of a protected column."""

    selection_rate: Share | None = None  # share of rows answered "positive" (demographic parity)
    true_positive_rate: Share | None = None  # share of positives that are found (equal opportunity)
    false_positive_rate: Share | None = None  # share of negatives taken for positives
    error: Positive | None = None  # share of wrong answers; of a regression, of the mean absolute error
    rows: Annotated[int, Meta(ge=10)] = 30  # a group with fewer rows that count is not judged


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Thresholds and budget of one model version, or of all versions of a family."""

    floor: float | None = None  # of the model's own metric; none is a failure
    margin: Positive = 0.01  # how much worse than the champion still counts as "not worse"
    decline: Positive = 0.05  # how much worse than when it was judged a live model may be, before that is a decline
    evidence: Literal["holdout", "cross-validation"] = "holdout"  # what floor, baseline and champion are judged by
    folds: Annotated[int, Meta(ge=2)] = 5  # of the cross-validation
    repeats: Count = 5  # of the cross-validation, each with other folds
    calibration: Share | None = None  # the largest calibration error; none: a warning from 0.05 on
    fairness: Fairness = Fairness()  # between groups of protected columns; without a limit these do not pass
    holdout: Share = 0.2
    split: Annotated[str, Meta(pattern="^(entity:.+)?$")] = ""  # "entity:COLUMN": all rows of one value on one side
    min_rows: Count = 100
    params: dict[str, Any] = {}
    trials: Annotated[int, Meta(ge=0)] = 0  # of the search space; 0: no search
    seconds: Positive = 60.0
    outcomes: str | None = None  # the source of labels that arrive later, with `request_id`, or entity keys and time
    outcomes_within: Duration = "1h"  # how far an event may lie from its decision, where there is no `request_id`

    @property
    def split_column(self) -> str | None:
        """The column whose rows of one value stay on one side; None where time or content decides."""
        return self.split.partition(":")[2] or None


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a place of any kind is moved: programs with their arguments, which no shell reads."""

    deploy: tuple[str, ...] = ()  # brings the release live
    probe: tuple[str, ...] = ()  # ends with 0 when the release answers
    rollback: tuple[str, ...] = ()  # brings the release live again, warm if it can
    seconds: Positive = 600.0  # for each of them
    ready_seconds: Positive = 60.0  # in which the probe must succeed


class Kubernetes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How releases run in a cluster."""

    image: str = ""  # of a release; {model} and {release} stand for its names
    namespace: str = ""  # "": the environment's name
    context: str = ""  # of kubectl; "": the current one
    replicas: Count = 2
    cpu: str = "500m"  # requested for each
    memory: str = "1Gi"  # requested for each, and the limit
    gateway: str = ""  # "NAME" or "NAMESPACE/NAME" of the Gateway that routes requests; "": a Service alone
    hostname: str = ""  # that the Gateway routes; "": all
    token_secret: str = ""  # the Secret that holds the token, under the key `token_env`
    decisions_claim: str = ""  # the PersistentVolumeClaim on which pods keep their decisions; "": they keep none
    seconds: Positive = 300.0  # for a release to become ready


class Decisions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an environment keeps of its answers."""

    log: bool = True
    keep: Duration = "30d"  # what is older is removed
    close: Duration = "10m"  # after which a segment becomes a Parquet file; sooner when it is large
    omit: tuple[str, ...] = ()  # fields of the request, and columns of the model, that are not written


class Environment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named place that runs releases."""

    target: Literal["local", "command", "kubernetes"] = "local"
    host: str = "127.0.0.1"
    port: Port = 3000
    workers: Count = 1
    token_env: str | None = None  # variable that holds the token which requests must bear
    url: str = ""  # where people reach it, and `monitor` from elsewhere; GitHub's page of deployments links there
    keep: Count = 5  # releases that stay servable for a rollback
    require_signature: bool = False  # a release that is not signed as [tool.mlops.signing] says is refused
    dirty: Literal["auto", "allow", "refuse"] = "auto"  # what unsaved changes made; auto: only here, not in production
    packages: Literal["own", "shared"] = "own"  # those that a release was judged with, or those of the server
    decisions: Decisions = Decisions()
    command: Command = Command()
    kubernetes: Kubernetes = Kubernetes()


class Load(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The short load test of check-service."""

    seconds: Positive = 2.0
    connections: Count = 8
    p99_ms: Positive = 250.0
    qps: Annotated[float, Meta(ge=0)] = 20.0
    slower: Annotated[float, Meta(ge=1)] = 1.5  # times the champion's mean latency, measured in turn on this machine
    unnoticed_ms: Annotated[float, Meta(ge=0)] = 5.0  # a mean latency up to this is no matter, whatever the champion's
    memory_mb: Positive | None = None  # resident, of the server and its one worker


class Packaging(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model becomes a bento."""

    form: Literal["auto", "onnx", "skops"] = "auto"
    tolerance: Positive = 1e-4  # largest difference of a probability, or relative of a regression
    golden: Count = 16  # requests whose answers travel with the release
    trusted: tuple[str, ...] = ()  # further types that a model file may hold, fully qualified


class Signing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How releases are signed, and whose signature counts."""

    method: Literal["none", "key", "keyless"] = "none"  # "keyless": by the job's identity, through Sigstore
    public_key: str = ""  # the file of the key that verifies, in PEM form
    key_env: str = "MLOPS_SIGNING_KEY"  # variable that holds the private key (PEM), or its file's path
    password_env: str = "MLOPS_SIGNING_PASSWORD"  # noqa: S105 - the variable's name: of the private key's password
    identity: str = ""  # whose signature counts, such as the URL of a workflow at its branch
    issuer: str = "https://token.actions.githubusercontent.com"  # who vouches for the identity
    trust: str = ""  # the file of a Sigstore trust configuration; "": the public instance's, which is fetched


class Store(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where features are at home."""

    home: Literal["embedded", "feast"] = "embedded"
    repo: str = "feature_repo"  # Feast's repository: the folder of feature_store.yaml, or of feature_store.ENV.yaml
    server: str = ""  # Feast's feature server, which services then read; {environment} stands for its name
    seconds: Positive = 1.0  # for the feature server to answer a service
    owner: str = ""  # whom Feast's registry names for the views


class Engine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What computes views in parts, and parameters in trials: processes of this machine, or a cluster."""

    kind: Literal["local", "dask"] = "local"
    address: str = ""  # of Dask's scheduler
    workers: Annotated[int, Meta(ge=0)] = 0  # processes of this machine; 0: one for each core
    rows: Annotated[int, Meta(ge=1)] = 1_000_000  # of a source, that one call of a view's function is given
    tuning: Literal["loky", "dask", "ray"] = "loky"  # joblib's backend for trials
    trials_at_once: Count = 1  # trials of a search that are chosen together, and run side by side


class Tests(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Folders with the project's pytest tests, by the gate that runs them; each test is a check of that gate."""

    features: tuple[str, ...] = ("tests/features",)
    data: tuple[str, ...] = ("tests/data",)
    model: tuple[str, ...] = ("tests/model",)
    service: tuple[str, ...] = ("tests/service",)


class Monitor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is looked at of a live release, and what it may show."""

    window: Duration = "7d"  # how far the newest window reaches back; further, until it holds `rows`
    rows: Count = 1_000  # in a window, at least
    windows: Count = 8  # that are shown; the newest one is judged
    errors: Share = 0.01  # of the requests may fail (5xx)
    refusals: Share = 0.1  # of the requests may be refused (4xx)
    expired: Share = 0.5  # of the entities may be past the time to live of a stored view
    disk_gb: Positive = 1.0  # that must be free


class Retrain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of a wish to retrain."""

    then: Literal["pull request", "deploy"] = "pull request"  # what is done with a challenger that passed its gates
    cooldown: Duration = "7d"  # from the end of one retrain to the next
    failures: Count = 3  # in a row, after which a person is asked
    longest: Duration = "6h"  # after which a retrain that was begun and never ended counts as failed


ENVIRONMENTS = {"staging": Environment(port=3001), "production": Environment(port=3000)}
"""Those that are always there, for commands go to staging unless told otherwise; what is written is laid over them."""


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `[tool.mlops]`."""

    name: str = ""
    seed: int = 42
    tests: tuple[str, ...] | Tests = Tests()  # where tests are; a list names those of the feature functions
    sources: dict[str, Source] = {}
    models: dict[str, ModelSettings] = {}
    environments: dict[str, Environment] = msgspec.field(default_factory=lambda: dict(ENVIRONMENTS))
    severity: dict[str, Literal["fail", "retrain", "warn"]] = {}  # check -> what it does when it fires
    load: Load = Load()
    package: Packaging = Packaging()
    shared_store: str = ""  # fsspec URL where the team's machines find what one of them has computed
    signing: Signing = Signing()
    store: Store = Store()
    engine: Engine = Engine()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    deepchecks: bool = True

    def tests_of(self, on: Literal["features", "data", "model", "service"]) -> tuple[str, ...]:
        """The folders with the tests that one gate runs."""
        tests = self.tests if isinstance(self.tests, Tests) else Tests(features=self.tests)
        found: tuple[str, ...] = getattr(tests, on)
        return found

    def settings(self, family: str, name: str) -> ModelSettings:
        """The settings of a model: its own, else its family's, else the defaults."""
        return self.models.get(name) or self.models.get(family) or ModelSettings()


def json_schema() -> dict[str, Any]:
    """The JSON schema of `[tool.mlops]`, for editors."""
    return msgspec.json.schema(Config)


def pyproject_schema() -> dict[str, Any]:
    """The JSON schema of a pyproject.toml that knows `[tool.mlops]`; `config.schema.json` beside this file holds it."""
    schema = json_schema()
    tool = {"type": "object", "properties": {"mlops": {"$ref": schema["$ref"]}}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pyproject.toml with [tool.mlops]",
        "type": "object",
        "properties": {"tool": tool},
        "$defs": schema["$defs"],
    }
