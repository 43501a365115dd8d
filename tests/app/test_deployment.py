"""What deploys the service agrees with the image, with the settings, and with its schemas."""

import json
import re
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from app import __version__
from app.commands.openapi import openapi_text
from app.settings import Settings, variable
from deploy.licences import rows

SETTINGS = {variable(field) for field in Settings.model_fields}
KUBERNETES = Path("deploy/kubernetes")
DOCKERFILE = Path("Dockerfile").read_text("utf-8")


def manifests(folder):
    """Returns the documents of a folder's files, without kustomizations, by kind and name."""
    files = sorted(file for file in folder.glob("*.yaml") if file.name != "kustomization.yaml")
    documents = [found for file in files for found in yaml.safe_load_all(file.read_text("utf-8"))]
    return {(found["kind"], found["metadata"]["name"]): found for found in documents}


def kustomization(folder):
    return yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))


def patches():
    return [
        yaml.safe_load(patch["patch"]) for patch in kustomization(KUBERNETES / "sqlite")["patches"]
    ]


@pytest.fixture
def pod():
    return manifests(KUBERNETES / "base")["StatefulSet", "palm-vein"]["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    (only,) = pod["containers"]
    return only


@pytest.fixture
def compose():
    return yaml.safe_load(Path("docker-compose.yml").read_text("utf-8"))


def test_manifests_follow_the_schema_of_kubernetes():
    for document in manifests(KUBERNETES / "base").values():
        kubernetes_validate.validate(document, "1.31", strict=True)


def test_a_kustomization_names_every_file_and_what_it_patches():
    base = KUBERNETES / "base"
    others = {file.name for file in base.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization(base)["resources"]) == others
    assert {(patch["kind"], patch["metadata"]["name"]) for patch in patches()} <= set(
        manifests(base)
    )


def test_manifests_set_only_settings_of_the_service():
    text = "".join(file.read_text("utf-8") for file in KUBERNETES.glob("*/*.yaml"))
    named = set(re.findall(r"\bPALM_[A-Z_]+", text)) - {"PALM_VEIN_SERVICE_HOST"}
    assert {"PALM_MASTER_KEY", "PALM_GALLERY_URL"} <= named <= SETTINGS


def test_secrets_are_only_referred_to(container):
    secret = {entry["name"] for entry in container["env"] if "valueFrom" in entry}
    assert secret == {"PALM_MASTER_KEY", "PALM_GALLERY_URL"}
    assert not [kind for kind, _ in manifests(KUBERNETES / "base") if kind == "Secret"]


def test_the_pod_has_the_images_user_port_and_folders(pod, container):
    user, group = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE).groups()
    security = pod["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"]) == (int(user), int(group))
    assert security["fsGroup"] == int(group)
    exposed = int(re.search(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)[1])
    assert [port["containerPort"] for port in container["ports"]] == [exposed]
    volume = re.search(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)[1]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {volume, "/tmp"}


def test_the_manifests_image_is_this_releases(container):
    assert container["image"] == re.search(r"docker build -t (\S+)", DOCKERFILE)[1]
    (image,) = kustomization(KUBERNETES / "base")["images"]
    assert (image["name"], image["newTag"]) == (container["image"], __version__)


def test_the_pod_is_as_confined_as_in_compose(pod, container, compose):
    ours = compose["services"]["palm"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is ours["read_only"] is True
    assert security["capabilities"]["drop"] == ours["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in ours["security_opt"]
    assert security["allowPrivilegeEscalation"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    limits = container["resources"]["limits"]
    assert (limits["cpu"], limits["memory"]) == (str(ours["cpus"]), "2Gi")
    assert ours["mem_limit"] == "2g"


def test_the_pod_is_asked_at_the_paths_of_health(container):
    probes = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")}
    assert probes == {"/health/live", "/health/ready"}
    assert probes <= set(json.loads(openapi_text())["paths"])


def test_compose_refers_only_to_what_it_declares(compose):
    for name, service in compose["services"].items():
        sources = {volume.split(":")[0] for volume in service.get("volumes", [])}
        files = {source for source in sources if source.startswith(".")}
        assert sources - files <= set(compose["volumes"]), name
        assert all(Path(file).exists() for file in files), name
        for kind in ("secrets", "networks"):
            assert set(service.get(kind, [])) <= set(compose[kind]), name
        assert set(service.get("depends_on", [])) <= set(compose["services"]), name


def test_compose_uses_every_volume_that_it_declares(compose):
    services = compose["services"].values()
    used = {volume.split(":")[0] for service in services for volume in service.get("volumes", [])}
    assert set(compose["volumes"]) <= used


def test_compose_and_the_image_set_only_settings_of_the_service(compose):
    environments = [service.get("environment", {}) for service in compose["services"].values()]
    named = {name for found in environments for name in found if name.startswith("PALM_")}
    assert "PALM_GALLERY_URL" in named
    assert named <= SETTINGS
    assert set(re.findall(r"^ +(PALM_\w+)=", DOCKERFILE, re.MULTILINE)) <= SETTINGS


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == __version__
    assert json.loads(openapi_text())["info"]["version"] == __version__
    label = re.search(
        r"^LABEL org\.opencontainers\.image\.version=(\S+)$", DOCKERFILE, re.MULTILINE
    )
    assert label[1] == __version__


def test_every_package_of_the_image_has_its_licence_in_the_docs():
    documented = set(Path("docs/licences.md").read_text("utf-8").splitlines())
    found = rows(Path("requirements/serve.txt").read_text("utf-8"))
    assert len(found) > 20
    assert {row for row in found if "not installed here" not in row} <= documented


def test_a_lock_of_another_version_than_is_installed_is_refused():
    with pytest.raises(ValueError, match=r"numpy .* is installed, and .* holds 0\.0\.1"):
        rows("numpy==0.0.1 \\\n    --hash=sha256:0\n")
