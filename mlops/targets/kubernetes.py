"""A Kubernetes cluster as a target: pods of each release beside each other, and a route that says which answer.

An order applies the release's own objects, waits until all its pods are ready, and only then moves the route and the
pointer. So a release that never gets ready gets no request, and the one before stays warm for the way back.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mlops.adapters.kubectl import Kubectl
from mlops.config import Environment
from mlops.contract import Contract
from mlops.errors import DeploymentFailed, OutsideError
from mlops.release import CONTRACT, PAYLOAD, Event
from mlops.serving.integrity import read_manifest
from mlops.serving.pointer import Pointer, read_pointer
from mlops.stores.reading import FEAST
from mlops.targets.manifests import (
    FAMILY,
    OF_A_RELEASE,
    RELEASE,
    Object,
    Place,
    Routing,
    dns,
    of_release,
    of_routing,
)
from mlops.targets.outside import LeftAlone, OutsideTarget
from mlops.targets.protocol import Health, Order


@dataclass(frozen=True)
class KubernetesTarget(OutsideTarget):
    """An environment in a cluster that `kubectl` reaches."""

    settings: Environment = field(default_factory=Environment)

    def preview(self, order: Order) -> str:
        """The objects as YAML, in the order in which they would be applied."""
        import yaml

        manifest = self._whole(order)
        old = read_pointer(self.folder / order.family)
        event = Event(
            at="", action=order.action, environment=self.environment, family=order.family, to=order.release,
            previous=old.live if old else "", who=order.who, reason=order.reason, outcome="done", seconds=0.0,
        )  # fmt: skip
        new = self._advance(old, order, event)
        place = self._place(order.family, manifest.release)
        objects = [*of_release(place, manifest), *of_routing(place, _routing(new))]
        text: str = yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True)
        return text.rstrip()

    def _put(self, family: Path, new: Pointer) -> None:
        manifest = read_manifest(self.releases / new.live)
        place, cluster = self._place(family.name, new.live), self._cluster()
        try:
            cluster.apply(of_release(place, manifest))
            cluster.wait_for_rollout(dns(new.live), seconds=self.settings.kubernetes.seconds)
        except OutsideError as error:
            self._remove_unless_kept(family, new.live)
            raise LeftAlone(error.message, next_step=error.next_step) from error  # the route has not been touched
        cluster.apply(of_routing(place, _routing(new)))

    def _put_back(self, family: Path, old: Pointer | None, new: Pointer) -> None:
        if old is not None:
            self._cluster().apply(of_routing(self._place(family.name, old.live), _routing(old)))
        self._remove_unless_kept(family, new.live)

    def _remove_unless_kept(self, family: Path, release: str) -> None:
        """Remove what did not become ready, unless it is live or a rollback returns to it."""
        pointer = read_pointer(family)
        if pointer is None or release not in (pointer.live, pointer.previous):
            with contextlib.suppress(OutsideError):  # it gets no request, and goes with the next order that succeeds
                self._cluster().delete(OF_A_RELEASE, {RELEASE: release})

    def _ask(self, family: Path, pointer: Pointer) -> Health:
        cluster = self._cluster()
        try:
            deployment = cluster.get("deployment", dns(pointer.live))
            service = cluster.get("service", dns(family.name))
        except OutsideError as error:
            return Health(running=False, ready=False, troubles={0: error.message})
        available = int(_at(deployment, "status", "availableReplicas") or 0)
        answers = _at(service, "spec", "selector", RELEASE)
        troubles = {} if answers == pointer.live else {0: f"{answers or 'nothing'} is routed to"}
        return Health(
            running=available > 0,
            ready=available > 0 and not troubles,
            address=self._address(family.name),
            serving=dict.fromkeys(range(available), str(answers or "")),
            troubles=troubles,
        )

    def _tidy(self, family: Path, new: Pointer) -> None:
        """Two releases run: the live one, and beside it the one that a rollback returns to."""
        cluster = self._cluster()
        if new.previous and (self.releases / new.previous).is_dir():
            manifest = read_manifest(self.releases / new.previous)
            cluster.apply(of_release(self._place(family.name, new.previous), manifest))
        for release in cluster.labelled("deployments", {FAMILY: family.name}, RELEASE):
            if release not in (new.live, new.previous):
                cluster.delete(OF_A_RELEASE, {RELEASE: release})

    def _workers(self, family: Path) -> int:
        pointer = read_pointer(family)
        return self.settings.kubernetes.replicas if pointer else 0

    def _address(self, family: str) -> str:
        place = Place(environment=self.environment, family=family, settings=self.settings)
        host = self.settings.kubernetes.hostname
        return f"https://{host}" if host else f"http://{place.name}.{place.namespace}.svc"

    def _cluster(self) -> Kubectl:
        settings = self.settings.kubernetes
        return Kubectl(namespace=settings.namespace or self.environment, context=settings.context)

    def _place(self, family: str, release: str) -> Place:
        return Place(
            environment=self.environment, family=family, settings=self.settings, online=self._online_text(release)
        )

    def _online_text(self, release: str) -> str:
        """What tells the pods where stored features are; a file of this machine is out of their reach."""
        contract = msgspec.json.decode((self.releases / release / PAYLOAD / CONTRACT).read_bytes(), type=Contract)
        if not contract.stored:
            return ""
        if self.online.name != FEAST:
            raise DeploymentFailed(
                f"{release} reads stored features, and those of the embedded store lie on this machine, "
                "where no pod reaches them",
                next_step='serve them by Feast: [tool.mlops.store] home = "feast", and server = the URL of its server',
            )
        return self.online.read_text(encoding="utf-8") if self.online.exists() else "{}"


def _routing(pointer: Pointer) -> Routing:
    """All requests go to the live release; the one before stands by with none."""
    shares = {pointer.live: 100, **({pointer.previous: 0} if pointer.previous else {})}
    text = msgspec.json.format(msgspec.json.encode(pointer)).decode()
    return Routing(live=pointer.live, pointer=text, shares=shares)


def _at(found: Object | None, *path: str) -> Any:
    value: Any = found
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
