"""The Kubernetes objects of a release, and those that say which release answers.

Each release has a Deployment, a Service and a PodDisruptionBudget of its own, so the one before stays warm beside it.
The family has a Service that selects the live release's pods, an HTTPRoute that weighs the releases' Services where
there is a Gateway, and a ConfigMap with the pointer. A move changes these three alone, and touches no pod.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops.config import Environment
from mlops.errors import UsageError
from mlops.release import Manifest
from mlops.serving.decisions import variables_of

Object = dict[str, Any]

FAMILY, RELEASE = "mlops.dev/family", "mlops.dev/release"
"""Labels of all that belongs to a family, and to one release."""

OF_A_RELEASE = ("poddisruptionbudgets", "services", "deployments")
"""The kinds of which a release has one of its own."""

PORT = 3000
ONLINE = "/etc/mlops/online.json"
DECISIONS = "/decisions"
_USER = 1034  # the user of BentoML's images
_DRAIN_SECONDS = 5  # until every proxy has heard that a pod goes
_BOOT_PERIODS, _BOOT_PERIOD = 45, 2  # the time that check-service gives a boot
_LABEL = 63


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a family's releases run: the settings, and the family's own names in the cluster."""

    environment: str
    family: str
    settings: Environment
    online: str = ""  # what the service reads to find its stored features; "": it reads none

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.settings.kubernetes.namespace or self.environment

    @property
    def name(self) -> str:
        """The family's Service, HTTPRoute and pointer."""
        return dns(self.family)

    @property
    def keeps_decisions(self) -> bool:
        """Whether its pods log what they answer: where there is a volume that outlives them."""
        return self.settings.decisions.log and bool(self.settings.kubernetes.decisions_claim)


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Which release answers how much: shares in percent that add up to 100, and the pointer as text."""

    live: str
    pointer: str
    shares: Mapping[str, int] = field(default_factory=dict)


def dns(name: str) -> str:
    """A name as Kubernetes takes it; UsageError where that is too long."""
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    if len(plain) > _LABEL - len("-pointer"):
        raise UsageError(f"{name} is too long for Kubernetes", next_step="give the model a shorter name")
    return plain


def of_release(place: Place, manifest: Manifest) -> list[Object]:
    """The objects of one release, which need nothing else to become ready."""
    labels = _labels(place, manifest.release)
    selects = {"matchLabels": {RELEASE: manifest.release}}
    name, several = dns(manifest.release), place.settings.kubernetes.replicas > 1
    return [
        *([_online(place)] if place.online else []),
        _object("apps/v1", "Deployment", name, place, labels, _deployment(place, manifest, selects)),
        _object("v1", "Service", name, place, labels, _service({RELEASE: manifest.release})),
        _object(
            "policy/v1",
            "PodDisruptionBudget",
            name,
            place,
            labels,
            {"selector": selects, **({"minAvailable": 1} if several else {"maxUnavailable": 1})},
        ),
    ]


def of_routing(place: Place, routing: Routing) -> list[Object]:
    """The objects that say which release answers; applied last, when it is ready."""
    labels = _labels(place)
    objects = [_object("v1", "Service", place.name, place, labels, _service({RELEASE: routing.live}))]
    if place.settings.kubernetes.gateway:
        objects.append(
            _object("gateway.networking.k8s.io/v1", "HTTPRoute", place.name, place, labels, _route(place, routing))
        )
    pointer = _object("v1", "ConfigMap", f"{place.name}-pointer", place, labels, None)
    return [*objects, {**pointer, "data": {"pointer.json": routing.pointer}}]


def _deployment(place: Place, manifest: Manifest, selects: Object) -> Object:
    settings = place.settings.kubernetes
    return {
        "replicas": settings.replicas,
        "selector": selects,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "progressDeadlineSeconds": max(1, int(settings.seconds)),
        "revisionHistoryLimit": 1,
        "template": {
            "metadata": {"labels": _labels(place, manifest.release), "annotations": {"mlops.dev/code": manifest.code}},
            "spec": {
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": 30,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": _USER,
                    "runAsGroup": _USER,
                    "fsGroup": _USER,
                    "fsGroupChangePolicy": "OnRootMismatch",  # else each pod walks through all decisions first
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [_container(place, manifest)],
                "volumes": _volumes(place),
            },
        },
    }


def _container(place: Place, manifest: Manifest) -> Object:
    settings = place.settings.kubernetes
    image = settings.image.replace("{release}", manifest.release).replace("{model}", manifest.model)
    return {
        "name": "service",
        "image": image,
        "args": ["serve"],
        "ports": [{"name": "http", "containerPort": PORT}],
        "env": _variables(place, manifest),
        "resources": {
            "requests": {"cpu": settings.cpu, "memory": settings.memory},
            "limits": {"memory": settings.memory},
        },
        "startupProbe": {**_probe("/readyz", _BOOT_PERIOD), "failureThreshold": _BOOT_PERIODS},
        "readinessProbe": {**_probe("/readyz", 2), "failureThreshold": 2},
        "livenessProbe": {**_probe("/livez", 10), "failureThreshold": 3},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(_DRAIN_SECONDS)]}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": "/tmp"},  # noqa: S108 - the pod's own, the one place that it may write to
            *(
                [{"name": "online", "mountPath": ONLINE, "subPath": "online.json", "readOnly": True}]
                if place.online
                else []
            ),
            *([{"name": "decisions", "mountPath": DECISIONS}] if place.keeps_decisions else []),
        ],
    }


def _variables(place: Place, manifest: Manifest) -> list[Object]:
    plain = {
        "MLOPS_RELEASE_NAME": manifest.release,
        "MLOPS_WORKERS": str(place.settings.workers),
        "BENTOML_HOME": "/tmp/bentoml",  # noqa: S108 - see the mount
        "HOME": "/tmp",  # noqa: S108
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"MLOPS_ONLINE": ONLINE} if place.online else {}),
    }
    variables: list[Object] = [{"name": name, "value": value} for name, value in plain.items()]
    if place.settings.token_env:
        key = {"name": place.settings.kubernetes.token_secret, "key": place.settings.token_env}
        variables.append({"name": "MLOPS_TOKEN", "valueFrom": {"secretKeyRef": key}})
    return variables + (_of_decisions(place) if place.keeps_decisions else [])


def _of_decisions(place: Place) -> list[Object]:
    """A folder for each pod: whether a segment's writer lives is known by a lock, which tells of one machine alone."""
    pod = {"name": "MLOPS_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    folder = f"{DECISIONS}/{place.environment}/{place.family}/$(MLOPS_POD)"
    told = variables_of(place.settings.decisions, folder, beside=True)
    return [pod, *({"name": name, "value": value} for name, value in told.items())]


def _volumes(place: Place) -> list[Object]:
    online = {"name": "online", "configMap": {"name": f"{place.name}-online"}}
    claim = {"claimName": place.settings.kubernetes.decisions_claim}
    return [
        {"name": "state", "emptyDir": {"sizeLimit": "256Mi"}},
        *([online] if place.online else []),
        *([{"name": "decisions", "persistentVolumeClaim": claim}] if place.keeps_decisions else []),
    ]


def _probe(path: str, period: int) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": period, "timeoutSeconds": 2}


def _service(selects: Mapping[str, str]) -> Object:
    return {
        "selector": dict(selects),
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }


def _route(place: Place, routing: Routing) -> Object:
    settings = place.settings.kubernetes
    namespace, _, gateway = settings.gateway.rpartition("/")
    parent = {"name": gateway, **({"namespace": namespace} if namespace else {})}
    shares = routing.shares or {routing.live: 100}
    backends = [
        {"kind": "Service", "name": dns(release), "port": 80, "weight": share} for release, share in shares.items()
    ]
    return {
        "parentRefs": [parent],
        **({"hostnames": [settings.hostname]} if settings.hostname else {}),
        "rules": [{"backendRefs": backends}],
    }


def _online(place: Place) -> Object:
    found = _object("v1", "ConfigMap", f"{place.name}-online", place, _labels(place), None)
    return {**found, "data": {"online.json": place.online}}


def _labels(place: Place, release: str = "") -> dict[str, str]:
    own = {RELEASE: release} if release else {}
    return {
        "app.kubernetes.io/name": place.name,
        "app.kubernetes.io/managed-by": "mlops",
        FAMILY: place.family,
        **own,
    }


def _object(version: str, kind: str, name: str, place: Place, labels: Mapping[str, str], spec: Object | None) -> Object:
    metadata = {"name": name, "namespace": place.namespace, "labels": dict(labels)}
    head: Object = {"apiVersion": version, "kind": kind, "metadata": metadata}
    return head if spec is None else {**head, "spec": spec}
