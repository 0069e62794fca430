"""The cluster is a stand-in (`fake_kubectl.py`): it proves the objects and the order of what is done, not a cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jsonschema
import kubernetes_validate
import msgspec
import pytest
import yaml

from mlops.config import Decisions, Environment, Kubernetes
from mlops.errors import ConfigError, DeploymentFailed, RollbackFailed, UsageError
from mlops.pyproject import load
from mlops.serving.decisions import Settings as DecisionSettings
from mlops.serving.decisions import settings as settings_of
from mlops.stores.reading import Address, write_address
from mlops.targets import chosen
from mlops.targets.kubernetes import KubernetesTarget
from mlops.targets.manifests import Place as Cluster
from mlops.targets.manifests import Routing, dns, of_routing
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_release, publish_customers
from tests.targets.conformance import Conformance, Place, killed_at, order, three_releases

FAKE = Path(__file__).with_name("fake_kubectl.py")
SETTINGS = Kubernetes(
    image="registry.example.com/risk/{model}:{release}",
    gateway="edge/public",
    hostname="fraud.example.com",
    token_secret="fraud-token",
    seconds=20,
)
LIVE = Environment(target="kubernetes", token_env="FRAUD_TOKEN", kubernetes=SETTINGS)


class InACluster(Place):
    """A namespace of a cluster that is a folder."""

    cluster: Path

    def object(self, kind, name):
        file = self.cluster / "objects" / f"{kind}-{name}.json"
        return json.loads(file.read_text()) if file.exists() else None

    def deployments(self):
        return sorted(file.stem.partition("-")[2] for file in (self.cluster / "objects").glob("Deployment-*"))

    def calls(self):
        return (self.cluster / "calls").read_text().splitlines()

    def answering(self):
        route = self.object("HTTPRoute", "fraud")
        (rule,) = route["spec"]["rules"]
        (name,) = [one["name"] for one in rule["backendRefs"] if one["weight"]]
        release = self.object("Service", name)["spec"]["selector"]["mlops.dev/release"]
        assert self.object("Service", "fraud")["spec"]["selector"] == {"mlops.dev/release": release}
        assert self.object("Deployment", name)["status"]["availableReplicas"] == 2
        pointer = json.loads(self.object("ConfigMap", "fraud-pointer")["data"]["pointer.json"])
        assert pointer["live"] == release
        return release

    def spoil(self, *releases):
        (self.cluster / "spoilt.json").write_text(json.dumps(releases))

    def killed_while_moving(self, wanted):
        killed_at(KubernetesTarget, "_place", lambda: self.target.move(wanted))
        killed_at(
            sys.modules[KubernetesTarget.__module__].Kubectl, "wait_for_rollout", lambda: self.target.move(wanted)
        )


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    releases = tmp_path_factory.mktemp("made")
    return releases, three_releases(releases)


@pytest.fixture(scope="session")
def validated(tmp_path_factory):
    return tmp_path_factory.mktemp("validated")


@pytest.fixture
def place(originals, validated, tmp_path, monkeypatch):
    releases = shutil.copytree(originals[0], tmp_path / "releases")
    made = InACluster(
        KubernetesTarget(tmp_path / "environments" / "production", releases, settings=LIVE), releases, originals[1]
    )
    made.cluster = tmp_path / "cluster"
    made.cluster.mkdir()
    made.spoil()
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{FAKE}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_CLUSTER", str(made.cluster))
    monkeypatch.setenv("FAKE_VALIDATED", str(validated))
    return made


class TestKubernetes(Conformance):
    """A stand-in for a cluster."""


def previewed(place, release):
    return list(yaml.safe_load_all(place.target.preview(order(release))))


def test_the_rendered_objects_hold_to_the_schemas_of_kubernetes_and_of_the_gateway(place):
    schema = json.loads((FAKE.parent / "schemas" / "httproute.json").read_text())
    objects = previewed(place, place.names[0])
    kinds = [one["kind"] for one in objects]
    assert kinds == ["Deployment", "Service", "PodDisruptionBudget", "Service", "HTTPRoute", "ConfigMap"]
    for one in objects:
        if one["kind"] == "HTTPRoute":
            jsonschema.validate(one, schema)
        else:
            for version in ("1.29.0", "1.33.0", "1.37.0"):
                kubernetes_validate.validate(one, version, strict=True)
    assert not (place.cluster / "calls").exists()


def test_the_schemas_would_refuse_a_misspelt_field(place):
    objects = {one["kind"]: one for one in previewed(place, place.names[0])}
    objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(objects["Deployment"], "1.33.0", strict=True)
    objects["HTTPRoute"]["spec"]["rules"][0]["backendRefs"][0]["wait"] = 1
    schema = json.loads((FAKE.parent / "schemas" / "httproute.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(objects["HTTPRoute"], schema)


def test_the_pods_may_do_nothing_but_serve(place):
    deployment = previewed(place, place.names[0])[0]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["readinessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["image"] == f"registry.example.com/risk/fraud_v1:{place.names[0]}"
    assert container["resources"]["limits"] == {"memory": "1Gi"}
    variables = {one["name"]: one for one in container["env"]}
    assert variables["MLOPS_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "fraud-token", "key": "FRAUD_TOKEN"}
    assert variables["MLOPS_RELEASE_NAME"]["value"] == place.names[0]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_pods_keep_their_decisions_on_the_claim_each_in_a_folder_of_its_own(place, tmp_path):
    kept = Decisions(keep="90d", omit=("email",))
    settings = msgspec.structs.replace(
        LIVE, decisions=kept, kubernetes=msgspec.structs.replace(SETTINGS, decisions_claim="decisions")
    )
    target = replace(place.target, settings=settings)
    deployment = next(yaml.safe_load_all(target.preview(order(place.names[0]))))
    for version in ("1.29.0", "1.33.0", "1.37.0"):
        kubernetes_validate.validate(deployment, version, strict=True)
    pod = deployment["spec"]["template"]["spec"]
    (claimed,) = [one for one in pod["volumes"] if "persistentVolumeClaim" in one]
    assert claimed["persistentVolumeClaim"] == {"claimName": "decisions"}
    (container,) = pod["containers"]
    (mount,) = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == claimed["name"]]
    folders = {name: settings_of(told_in(container["env"], pod=name)) for name in ("fraud-a", "fraud-b")}
    assert folders["fraud-a"] == DecisionSettings(
        folder=Path(mount) / "production" / "fraud" / "fraud-a",
        keep=timedelta(days=90),
        omit=frozenset({"email"}),
        beside=True,
    )
    assert folders["fraud-b"].folder == folders["fraud-a"].folder.with_name("fraud-b")


def told_in(variables, *, pod):
    """The variables of a container as Kubernetes hands them to the process: $(NAME) stands for one that came before."""
    told = {}
    for one in variables:
        value = pod if one.get("valueFrom", {}).get("fieldRef") == {"fieldPath": "metadata.name"} else one.get("value")
        told[one["name"]] = re.sub(r"\$\((\w+)\)", lambda found: told[found[1]], value or "")
    return told


@pytest.mark.parametrize("how", [{"decisions": Decisions(log=False)}, {}])
def test_without_a_claim_or_where_none_are_kept_pods_log_no_decisions(place, how):
    claim = "decisions" if how else ""
    settings = msgspec.structs.replace(LIVE, kubernetes=msgspec.structs.replace(SETTINGS, decisions_claim=claim), **how)
    deployment = next(yaml.safe_load_all(replace(place.target, settings=settings).preview(order(place.names[0]))))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert settings_of(told_in(container["env"], pod="fraud-a")) is None
    assert len(deployment["spec"]["template"]["spec"]["volumes"]) == 1


def test_nothing_is_routed_to_a_release_before_its_pods_are_ready(place):
    """Promise 9."""
    place.target.move(order(place.names[0]))
    place.target.move(order(place.names[1]))
    calls = [" ".join(call.split()[1:3]) for call in place.calls()]
    assert calls[:3] == ["apply --server-side", "rollout status", "apply --server-side"]


def test_the_live_release_and_the_one_before_run_and_the_rest_is_removed(place):
    for name in place.names:
        place.target.move(order(name))
    assert place.deployments() == [dns(name) for name in place.names[1:]]
    place.target.move(order(place.names[1], "rollback"))
    assert place.deployments() == [dns(name) for name in place.names[:2]]
    backends = place.object("HTTPRoute", "fraud")["spec"]["rules"][0]["backendRefs"]
    assert {one["name"]: one["weight"] for one in backends} == {dns(place.names[1]): 100, dns(place.names[0]): 0}


def test_the_pods_of_a_release_that_did_not_get_ready_are_removed(place):
    place.target.move(order(place.names[0]))
    place.spoil(place.names[1])
    with pytest.raises(DeploymentFailed, match="timed out waiting"):
        place.target.move(order(place.names[1]))
    assert place.deployments() == [dns(place.names[0])]


def test_a_cluster_that_does_not_answer_is_told_and_the_old_release_serves(place):
    place.target.move(order(place.names[0]))
    (place.cluster / "down").touch()
    with pytest.raises(DeploymentFailed, match=rf"could not be reached; {place.names[0]} is live"):
        place.target.move(order(place.names[1]))
    assert place.answering() == place.names[0]


def test_where_the_route_can_be_moved_neither_on_nor_back_a_person_is_needed(place):
    place.target.move(order(place.names[0]))
    (place.cluster / "down").write_text("HTTPRoute")
    with pytest.raises(RollbackFailed, match=r"could not be reached; and .* could not be put back"):
        place.target.move(order(place.names[1]))
    (place.cluster / "down").unlink()
    assert "interrupted" in " ".join(place.target.health("fraud").troubles.values())
    place.target.move(order(place.names[0]))
    assert place.answering() == place.names[0]


def test_without_kubectl_nothing_is_done(place, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(DeploymentFailed, match="kubectl is not there"):
        place.target.move(order(place.names[0]))


def test_a_canary_is_a_weight_of_the_route():
    place = Cluster(environment="production", family="fraud", settings=LIVE)
    routing = Routing(live="fraud_v1-a", pointer="{}", shares={"fraud_v1-a": 90, "fraud_v2-b": 10})
    route = of_routing(place, routing)[1]
    assert [one["weight"] for one in route["spec"]["rules"][0]["backendRefs"]] == [90, 10]


def test_stored_features_of_this_machine_are_out_of_the_reach_of_a_pod(place):
    reading = make_release(place.releases, contract("fraud_v7"))
    publish_customers(place.target.online)
    with pytest.raises(DeploymentFailed, match="no pod reaches them") as caught:
        place.target.move(order(reading))
    assert 'home = "feast"' in caught.value.next_step
    feast = KubernetesTarget(place.target.folder, place.releases, online_name="online.json", settings=LIVE)
    write_address(feast.online, Address(repository="feature_store.yaml", server="http://features:6566"))
    objects = list(yaml.safe_load_all(feast.preview(order(reading))))
    assert json.loads(objects[0]["data"]["online.json"])["server"] == "http://features:6566"
    assert {"name": "MLOPS_ONLINE", "value": "/etc/mlops/online.json"} in (
        objects[1]["spec"]["template"]["spec"]["containers"][0]["env"]
    )


def test_a_name_that_kubernetes_does_not_take_is_refused():
    assert dns("fraud_v2-163c848faa3c") == "fraud-v2-163c848faa3c"
    with pytest.raises(UsageError, match="too long for Kubernetes"):
        dns("a" * 64)


def test_two_environments_do_not_share_a_namespace(tmp_path):
    told = (
        '[tool.mlops.environments.{0}]\ntarget = "kubernetes"\n[tool.mlops.environments.{0}.kubernetes]\nimage = "a"\n'
    )
    file = tmp_path / "pyproject.toml"
    file.write_text(f'{told.format("staging")}namespace = "risk"\n{told.format("production")}namespace = "risk"\n')
    with pytest.raises(ConfigError, match=r"pyproject.toml:10: 'production' has the namespace of 'staging', 'risk'"):
        load(tmp_path)
    file.write_text(f"{told.format('staging')}{told.format('production')}")
    assert load(tmp_path).environments["staging"].target == "kubernetes"


def test_the_configuration_chooses_it_and_demands_an_image(tmp_path):
    file = tmp_path / "pyproject.toml"
    file.write_text('[tool.mlops.environments.production]\ntarget = "kubernetes"\n')
    with pytest.raises(ConfigError, match=r"pyproject.toml:\d+: .*'production'.*needs image"):
        load(tmp_path)
    file.write_text(
        '[tool.mlops.environments.production]\ntarget = "kubernetes"\n'
        '[tool.mlops.environments.production.kubernetes]\nimage = "a/{model}:{release}"\nnamespace = "risk"\n'
    )
    target = chosen.target(open_workspace(tmp_path), "production")
    assert isinstance(target, KubernetesTarget)
    assert target.settings.kubernetes.namespace == "risk"
