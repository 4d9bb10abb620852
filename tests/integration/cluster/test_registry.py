"""Images from a registry: by anybody, and with the credentials of whoever creates the service."""

import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.hello import build
from swarm.dev.cluster import DevCluster
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.registry import RegistryClient, Repository
from swarm.runtime.images.registry_push import push_blob, push_manifest
from tests.integration.conftest import UP_TIMEOUT_S, Clusters
from tests.integration.images.registries import PASSWORD, USER, docker_registry, free_port
from tests.integration.operator import ROOT, SWARMCTL, Operator, wait_until

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def mirror_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def cluster(clusters: Clusters, mirror_port: int) -> DevCluster:
    """One manager and one worker that may speak plain HTTP to the host's side of their network."""
    planned = clusters.plan(1, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWARM_INSECURE_REGISTRIES", str(planned.plan.subnet))
        patch.setenv("SWARM_REGISTRY_MIRRORS", f"hub.invalid={planned.plan.host_address}:{mirror_port}")
        patch.setenv("SWARM_BLOCKED_REGISTRIES", "*.blocked.invalid")
        planned.up(timeout_s=UP_TIMEOUT_S)
    return planned


@asynccontextmanager
async def registry(
    cluster: DevCluster, folder: Path, *, password: bool = False, port: int = 0
) -> AsyncIterator[str]:
    """Run a registry that the nodes can reach, with an image `apps/web:1` in it."""
    host = str(cluster.plan.host_address)
    async with docker_registry(folder / "registry", password=password, host=host, port=port) as address:
        client = RegistryClient([host])
        image = build.build(build.hello(name=f"{address}/apps/web:1"))
        repository = Repository(address, "apps/web")
        login = Credentials(address, USER, PASSWORD) if password else None
        for digest, content in image.blobs.items():
            if digest != image.manifest_digest:
                await push_blob(client, repository, digest, len(content), _reader(content), login)
        manifest = image.blobs[image.manifest_digest]
        await push_manifest(client, repository, "1", MANIFEST, manifest, login)
        await client.close()
        yield address


def _reader(content: bytes):
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    return chunks


async def test_an_image_is_pulled_without_credentials(
    operator: Operator, cluster: DevCluster, tmp_path: Path
) -> None:
    async with registry(cluster, tmp_path, password=False) as address:
        operator("service", "create", "-d", "--name", "open", "--mode", "global", f"{address}/apps/web:1")
        assert len(operator.wait_running("open", 2)) == 2
    image = operator("service", "inspect", "-f", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", "open")
    assert image.startswith(f"{address}/apps/web:1@sha256:")
    operator("service", "rm", "open")


async def test_nodes_ask_the_mirror_of_a_registry_and_never_a_blocked_one(
    operator: Operator, cluster: DevCluster, tmp_path: Path, mirror_port: int
) -> None:
    async with registry(cluster, tmp_path, port=mirror_port):
        image = "hub.invalid/apps/web:1"
        operator("service", "create", "-d", "--name", "mirrored", "--mode", "global", image)
        assert len(operator.wait_running("mirrored", 2)) == 2
        operator("service", "rm", "mirrored")
        assert operator("image", "pull", "-q", image) == image
    for command in (("service", "create", "-d"), ("image", "pull")):
        refused = operator.typed(*command, "a.blocked.invalid/web:1")
        assert refused.returncode == 1
        assert "registry a.blocked.invalid is blocked on this node" in refused.stderr


async def test_credentials_travel_with_the_service_and_are_never_shown(
    operator: Operator, cluster: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with registry(cluster, tmp_path, password=True) as address:
        create = ("service", "create", "-d", "--name", "closed", "--mode", "global")
        refused = operator.typed(*create, f"{address}/apps/web:1")
        assert refused.returncode != 0
        assert "authentication" in refused.stderr.lower()
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {address: {"auth": auth}}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        host = cluster.node("manager-1").host
        command = [*SWARMCTL, "--host", host, *create, "--with-registry-auth", f"{address}/apps/web:1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert len(operator.wait_running("closed", 2)) == 2
        assert PASSWORD not in operator("service", "inspect", "closed")
        for node in cluster.plan.nodes:
            assert PASSWORD not in node.log.read_text(errors="replace")
        operator("service", "rm", "closed")


async def test_an_image_goes_through_the_cluster_by_hand(
    operator: Operator, cluster: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("SWARM_INSECURE_REGISTRIES", str(cluster.plan.subnet))
    async with registry(cluster, tmp_path, password=True) as address:
        image, copy = f"{address}/apps/web:1", f"{address}/apps/copy:2"
        refused = operator.typed("image", "pull", image)
        assert refused.returncode == 1
        assert f"swarmctl login {address}" in refused.stderr
        operator("login", address, "-u", USER, "-p", PASSWORD)
        assert operator("image", "pull", "-q", image) == image
        assert operator("image", "history", "--format", "{{.Size}}", image).count("B") >= 1
        operator("image", "tag", image, copy)
        digest = operator("image", "push", "-q", copy)
        assert digest == operator("image", "inspect", "-f", "{{.Digest}}", copy)
        operator("image", "save", "-o", str(tmp_path / "web.tar"), image)
        # A worker's registry is the cluster: nobody gave it a password.
        operator("service", "create", "-d", "--name", "shop", "--mode", "global", copy)
        assert len(operator.wait_running("shop", 2)) == 2
        assert PASSWORD not in operator("service", "inspect", "shop")
        assert f"untagged: {image}" not in operator("image", "prune", "--force", "--all")
        operator("service", "rm", "shop")
        for node in cluster.plan.nodes:
            assert PASSWORD not in node.log.read_text(errors="replace")
        operator("logout", address)
    assert f"Loaded image: {image}" in operator("image", "load", "-i", str(tmp_path / "web.tar"))


DOCKERFILE = """\
FROM scratch AS tools
COPY busybox /bin/sh
ARG WHO=nobody
COPY context /context
RUN cd /context && echo "made for $WHO with" * > /made
FROM scratch
COPY busybox /busybox
COPY --from=tools /made /made
ENTRYPOINT ["/busybox", "sh", "-c", "/busybox cat /made && exec /busybox sleep 1000"]
"""
STORAGE = """\
[storage]
driver = "vfs"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


@pytest.mark.skipif(shutil.which("buildah") is None, reason="needs buildah")
def test_an_image_is_built_here_and_runs_there(
    operator: Operator, cluster: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busybox = shutil.which("busybox")
    assert busybox is not None
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy(busybox, context / "busybox")
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "context").mkdir()
    for name in ("kept", "secret.key", "build.log"):
        (context / "context" / name).touch()
    (context / ".dockerignore").write_text("**/*.key\n**/*.log\n!context/kept\n")
    (tmp_path / "storage.conf").write_text(STORAGE.format(folder=tmp_path))
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "storage.conf"))
    command = ("image", "build", "-q", "-t", "made:1", "-t", "made:2", "--build-arg", "WHO=us", str(context))
    assert operator(*command).splitlines() == ["docker.io/library/made:1", "docker.io/library/made:2"]
    operator("service", "create", "-d", "--name", "made", "--mode", "global", "made:2")
    assert len(operator.wait_running("made", 2)) == 2
    wait_until(lambda: operator("service", "logs", "made").count("made for us with kept") == 2)
    operator("service", "rm", "made")
    told = operator.typed("image", "build", "-t", "made:1", "--build-arg", "WHO=us", str(context))
    for step in ("FROM scratch AS tools", "ARG WHO", "COPY --from=tools", "ENTRYPOINT"):  # as it comes
        assert step in told.stdout + told.stderr
    (context / "Dockerfile").write_text('FROM scratch\nCOPY busybox /sh\nRUN ["/sh", "false"]\n')
    failed = operator.typed("image", "build", "-t", "broken", str(context))
    assert failed.returncode == 1
    assert "Error: image build: buildah bud ended with exit code" in failed.stderr
    assert "broken" not in operator("image", "ls")
    kept = subprocess.run(["buildah", "containers", "-q"], check=True, capture_output=True)
    assert kept.stdout == b""

    # For a builder that has none of it, as on another machine.
    (tmp_path / "storage.conf").write_text(STORAGE.format(folder=tmp_path / "other"))
    (context / "Dockerfile").write_text("ARG OF=none\nFROM made:$OF\nLABEL more=1\n")
    more = operator.try_("image", "build", "-t", "more:1", "--build-arg", "OF=1", str(context))
    assert (more.returncode, more.stderr.splitlines()[0]) == (
        0,
        "Taking docker.io/library/made:1 from the cluster",
    )
    assert operator("image", "inspect", "more:1", "-f", "{{.Config.Labels.more}}") == "1"
    again = operator.try_("image", "build", "-t", "more:1", "--build-arg", "OF=1", str(context))
    assert (again.returncode, "Taking" in again.stderr) == (0, False)
