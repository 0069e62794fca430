"""Kubernetes by `kubectl`: objects applied, a rollout waited for, objects read and removed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mlops.errors import OutsideError

_SECONDS = 60.0  # for a call that does not wait for pods
_SLACK = 10.0  # kubectl's own timeout comes first, and says more


@dataclass(frozen=True, kw_only=True)
class Kubectl:
    """One namespace of one cluster."""

    namespace: str
    context: str = ""

    def apply(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """Make the objects what they are to be. By server-side apply: fields that others own stay theirs."""
        body = msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        words = ["apply", "--server-side", "--force-conflicts", "--field-manager=mlops", "-f", "-"]
        self._run(words, body=body)

    def wait_for_rollout(self, deployment: str, *, seconds: float) -> None:
        """Return when all pods of a Deployment are ready; OutsideError when time is up or it cannot progress."""
        words = ["rollout", "status", f"deployment/{deployment}", f"--timeout={seconds:g}s"]
        self._run(words, seconds=seconds + _SLACK)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object; None where there is none."""
        read = self._run(["get", kind, name, "--ignore-not-found", "--output=json"])
        return msgspec.json.decode(read, type=dict[str, Any]) if read.strip() else None

    def labelled(self, kind: str, labels: Mapping[str, str], label: str) -> tuple[str, ...]:
        """What the objects with these labels bear as another label."""
        read = self._run(["get", kind, f"--selector={_selector(labels)}", "--output=json"])
        items = msgspec.json.decode(read, type=dict[str, Any]).get("items", [])
        found = (item.get("metadata", {}).get("labels", {}).get(label) for item in items)
        return tuple(str(value) for value in found if value)

    def delete(self, kinds: Sequence[str], labels: Mapping[str, str]) -> None:
        """Remove the objects of these kinds with these labels; without waiting until their pods have drained."""
        words = ["delete", ",".join(kinds), f"--selector={_selector(labels)}", "--ignore-not-found", "--wait=false"]
        self._run(words)

    def _run(self, words: Sequence[str], *, body: bytes | None = None, seconds: float = _SECONDS) -> bytes:
        where = [f"--namespace={self.namespace}", *([f"--context={self.context}"] if self.context else [])]
        try:
            done = subprocess.run(
                ["kubectl", *where, *words],
                input=body,
                stdin=subprocess.DEVNULL if body is None else None,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except FileNotFoundError:
            raise OutsideError(
                "kubectl is not there", next_step="install kubectl, and let `kubectl config view` show the cluster"
            ) from None
        except subprocess.TimeoutExpired:
            raise OutsideError(
                f"`kubectl {words[0]}` did not end within {seconds:g} seconds",
                next_step="look whether the cluster answers: `kubectl get --raw /readyz`",
            ) from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise OutsideError(
                f"`kubectl {' '.join(words[:2])}` ended with code {done.returncode}: {said[-1]}",
                next_step=f"look there: `kubectl --namespace={self.namespace} get deployments,pods,events`",
            )
        return done.stdout


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
