"""Stands in for `kubectl` and the cluster behind it, because no cluster can run here.

It holds every object to the schemas of Kubernetes and of the Gateway API, keeps it in a folder, and knows
the calls that mlops makes; any other call is an error. Pods become ready unless `spoilt.json` names their release.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

CLUSTER = Path(os.environ["FAKE_CLUSTER"])
KINDS = {
    "deployment": "Deployment",
    "deployments": "Deployment",
    "service": "Service",
    "services": "Service",
    "poddisruptionbudgets": "PodDisruptionBudget",
}
RELEASE = "mlops.dev/release"
VERSION = "1.33.0"


def place(kind: str, name: str) -> Path:
    return CLUSTER / "objects" / f"{kind}-{name}.json"


def validate(item: dict) -> None:
    """Each object once: the schemas take longer to load than all else."""
    text = json.dumps(item, sort_keys=True)
    known = Path(os.environ["FAKE_VALIDATED"]) / hashlib.sha256(text.encode()).hexdigest()
    if not known.exists():
        hold_to_its_schema(item)
        known.touch()


def hold_to_its_schema(item: dict) -> None:
    if item["kind"] == "ConfigMap":
        assert item.keys() == {"apiVersion", "kind", "metadata", "data"}
        assert all(isinstance(value, str) for value in item["data"].values())
        return
    if item["kind"] == "HTTPRoute":
        import jsonschema

        schema = json.loads((Path(__file__).parent / "schemas" / "httproute.json").read_text())
        jsonschema.validate(item, schema)
        return
    import kubernetes_validate

    kubernetes_validate.validate(item, VERSION, strict=True)


def apply(namespace: str) -> None:
    items = json.load(sys.stdin)["items"]
    down = CLUSTER / "down"
    if down.exists() and down.read_text() in {"", *(item["kind"] for item in items)}:
        sys.exit("error: the server could not be reached")
    for item in items:
        validate(item)
        if item["metadata"]["namespace"] != namespace:
            sys.exit("error: the namespace of the object does not match the namespace of the request")
    for item in items:
        file = place(item["kind"], item["metadata"]["name"])
        if file.exists():
            item["status"] = json.loads(file.read_text()).get("status", {})
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(item))


def rollout(name: str) -> None:
    file = place("Deployment", name)
    item = json.loads(file.read_text())
    if item["metadata"]["labels"][RELEASE] in json.loads((CLUSTER / "spoilt.json").read_text()):
        sys.exit(f"Waiting for rollout to finish\nerror: timed out waiting for the condition on {name}")
    item["status"] = {"availableReplicas": item["spec"]["replicas"]}
    file.write_text(json.dumps(item))


def selected(kind: str, selector: str) -> list[Path]:
    wanted = dict(pair.split("=", 1) for pair in selector.split(","))
    found = []
    for file in sorted((CLUSTER / "objects").glob(f"{kind}-*.json")):
        labels = json.loads(file.read_text())["metadata"]["labels"]
        if wanted.items() <= labels.items():
            found.append(file)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--context")
    for flag in ("--server-side", "--force-conflicts", "--ignore-not-found"):
        parser.add_argument(flag, action="store_true")
    for option in ("--field-manager", "--output", "--selector", "--timeout", "--wait", "-f"):
        parser.add_argument(option)
    parser.add_argument("words", nargs="+")
    given = parser.parse_args()
    with (CLUSTER / "calls").open("a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\n")
    match given.words:
        case ["apply"]:
            apply(given.namespace)
        case ["rollout", "status", what]:
            rollout(what.partition("/")[2])
        case ["get", kind, name]:
            file = place(KINDS[kind], name)
            sys.stdout.write(file.read_text() if file.exists() else "")
        case ["get", kind]:
            found = [json.loads(file.read_text()) for file in selected(KINDS[kind], given.selector)]
            sys.stdout.write(json.dumps({"items": found}))
        case ["delete", kinds]:
            for kind in kinds.split(","):
                for file in selected(KINDS[kind], given.selector):
                    file.unlink()
        case _:
            sys.exit(f"error: unknown command {given.words}")


main()
