"""The manifests: they agree with each other, with the image, and with what the program answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from siphon_http.host.admin import Admin
from siphon_http.host.config_admin import AdminConfig, MetricsConfig

from ..examples.serving import ROOT, command
from .dockerfile import parse

FOLDER = ROOT / "deploy" / "kubernetes"
LABELS = {"app.kubernetes.io/name": "siphon-http"}
KINDS = {
    "configmap": ("v1", "ConfigMap"),
    "deployment": ("apps/v1", "Deployment"),
    "hpa": ("autoscaling/v2", "HorizontalPodAutoscaler"),
    "pdb": ("policy/v1", "PodDisruptionBudget"),
    "service": ("v1", "Service"),
}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}


@pytest.fixture(scope="module")
def pod(manifests: dict[str, Any]) -> dict[str, Any]:
    return manifests["deployment"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return only


@pytest.fixture(scope="module")
def siphon(manifests: dict[str, Any]) -> dict[str, Any]:
    return yaml.safe_load(manifests["configmap"]["data"]["siphon.yaml"])


def test_every_file_is_the_object_that_it_is_called_after(manifests: dict[str, Any]) -> None:
    assert {name: (one["apiVersion"], one["kind"]) for name, one in manifests.items()} == KINDS
    listed = (FOLDER / "README.md").read_text()
    assert all(f"| {name}.yaml |" in listed for name in KINDS)


def test_names_and_labels_agree(manifests: dict[str, Any], pod: dict[str, Any]) -> None:
    for one in manifests.values():
        assert one["metadata"] == {"name": "siphon-http", "labels": LABELS}
    deployment = manifests["deployment"]["spec"]
    assert deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"] == LABELS
    assert manifests["service"]["spec"]["selector"] == LABELS
    assert manifests["pdb"]["spec"]["selector"]["matchLabels"] == LABELS
    assert pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"] == LABELS
    scaled = manifests["hpa"]["spec"]["scaleTargetRef"]
    kinds = {key: manifests["deployment"][key] for key in ("apiVersion", "kind")}
    assert scaled == {**kinds, "name": "siphon-http"}


def test_ports_agree_with_what_is_listened_on(
    manifests: dict[str, Any], container: dict[str, Any], siphon: dict[str, Any]
) -> None:
    http = yaml.safe_load(manifests["configmap"]["data"]["http.yaml"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert http["servers"][0]["listen"] == f"0.0.0.0:{ports['http']}"
    assert siphon["admin"]["listen"] == f"0.0.0.0:{ports['admin']}", "probes do not come over the loopback"
    (offered,) = manifests["service"]["spec"]["ports"]
    assert offered["targetPort"] == "http", "the admin port is nobody's outside"
    annotations = manifests["deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["admin"])


def test_probes_ask_what_the_admin_listener_answers(manifests: dict[str, Any], container: dict[str, Any]) -> None:
    state = "ready"
    admin = Admin(AdminConfig(), MetricsConfig(), state=lambda: state, numbers=list)  # type: ignore[arg-type,return-value]

    def answers(probe: str) -> int:
        assert container[probe]["httpGet"]["port"] == "admin"
        return admin.answer(container[probe]["httpGet"]["path"], "", all_paths=True).status

    assert [answers(probe) for probe in PROBES] == [200, 200, 200]
    state = "draining"
    assert answers("readinessProbe") == 503
    assert answers("livenessProbe") == 200, "a pod that drains is not to be killed"
    annotations = manifests["deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert admin.answer(annotations["prometheus.io/path"], "", all_paths=True).status == 200


def test_the_end_of_a_pod_has_time_for_the_drain(
    pod: dict[str, Any], container: dict[str, Any], siphon: dict[str, Any]
) -> None:
    sleep, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert sleep == "sleep"
    assert pod["terminationGracePeriodSeconds"] >= int(seconds) + siphon["server"]["drain_secs"] + 10


def test_the_files_of_the_config_map_have_no_mistake(
    manifests: dict[str, Any], container: dict[str, Any], tmp_path: Path
) -> None:
    for name, text in manifests["configmap"]["data"].items():
        (tmp_path / name).write_text(text)
    done = command(tmp_path, "check")
    assert (done.returncode, done.stderr) == (0, "")
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "configuration"]
    assert container["args"] == ["run", f"{mount['mountPath']}/siphon.yaml"]


def test_every_volume_that_is_mounted_is_there(pod: dict[str, Any], container: dict[str, Any]) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    assert volumes["configuration"]["configMap"] == {"name": "siphon-http"}


def test_the_pod_may_do_nothing_but_serve(pod: dict[str, Any], container: dict[str, Any]) -> None:
    user = parse((ROOT / "deploy" / "container" / "Dockerfile").read_text())[-1].last("USER")
    rights = pod["securityContext"]
    assert f"{rights['runAsUser']}:{rights['runAsGroup']}" == user
    assert rights["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_pods_can_be_counted_and_replaced(manifests: dict[str, Any], container: dict[str, Any]) -> None:
    scale = manifests["hpa"]["spec"]
    assert 2 <= scale["minReplicas"] < scale["maxReplicas"]
    assert scale["metrics"][0]["resource"]["name"] in container["resources"]["requests"]
    assert "replicas" not in manifests["deployment"]["spec"], "it would undo what the autoscaler has done"
    assert manifests["pdb"]["spec"]["maxUnavailable"] < scale["minReplicas"], "else a node could not be emptied"
    assert manifests["deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
