"""A storage plugin (CSI): `python -m tests.csi_plugin SOCKET FOLDER NODE [KEY=VALUE of its topology]`.

A volume is a folder in FOLDER/volumes, on a node it is a bind mount; a block volume is a file in that folder
and a loop device. Everything the plugins of all nodes
know is in FOLDER, as with storage that is somewhere else. It writes down every call (calls.log, one JSON a
line), and what a caller must not do (violations.log). Tests make it fail or hang by files:
FOLDER/fail-METHOD (number of times), FOLDER/hang-METHOD (until the file is gone; after the work was done).
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from swarm.api.v1 import csi_pb2 as csi
from swarm.api.v1 import csi_pb2_grpc as rpc

NAME = "csi.test"


class Plugin:
    """What identity, controller and node services share."""

    def __init__(self, folder: Path, node: str, topology: dict[str, str]) -> None:
        self.folder, self.node, self.topology = folder, node, topology
        for name in ("volumes", "published", "staged"):
            (folder / name).mkdir(exist_ok=True)

    @contextmanager
    def call(self, request: Any, context: grpc.ServicerContext) -> Iterator[None]:
        method = type(request).DESCRIPTOR.name.removesuffix("Request")
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._fail(method, context)
            yield
            self._log(method, request)
        while (self.folder / f"hang-{method}").exists():
            time.sleep(0.05)

    def _log(self, method: str, request: Any) -> None:
        line = {"method": method, "node": self.node, "at": time.time()}
        line["volume"] = getattr(request, "volume_id", "") or getattr(request, "name", "")
        line["secrets"] = dict(getattr(request, "secrets", {}))
        line["on"] = getattr(request, "node_id", "")
        with (self.folder / "calls.log").open("a") as log:
            log.write(json.dumps(line) + "\n")

    def _fail(self, method: str, context: grpc.ServicerContext) -> None:
        order = self.folder / f"fail-{method}"
        if order.exists() and (left := int(order.read_text())):
            order.write_text(str(left - 1))
            context.abort(grpc.StatusCode.INTERNAL, "as you like")

    def violation(self, text: str) -> None:
        with (self.folder / "violations.log").open("a") as log:
            log.write(text + "\n")

    def image(self, volume: str) -> Path:
        return self.folder / "volumes" / volume / "image"

    def marks(self, kind: str, volume: str) -> list[str]:
        return [path.name.split("@")[1] for path in (self.folder / kind).glob(f"{volume}@*")]


class Identity(rpc.IdentityServicer):
    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return csi.GetPluginInfoResponse(name=NAME, vendor_version="1")

    def GetPluginCapabilities(self, request: Any, context: Any) -> Any:
        service = csi.PluginCapability.Service
        kinds = (service.CONTROLLER_SERVICE, service.VOLUME_ACCESSIBILITY_CONSTRAINTS)
        return csi.GetPluginCapabilitiesResponse(
            capabilities=[csi.PluginCapability(service=service(type=kind)) for kind in kinds]
        )


class Controller(rpc.ControllerServicer):
    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin

    def ControllerGetCapabilities(self, request: Any, context: Any) -> Any:
        kind = csi.ControllerServiceCapability.RPC
        kinds = (kind.CREATE_DELETE_VOLUME, kind.PUBLISH_UNPUBLISH_VOLUME)
        return csi.ControllerGetCapabilitiesResponse(
            capabilities=[csi.ControllerServiceCapability(rpc=kind(type=one)) for one in kinds]
        )

    def CreateVolume(self, request: Any, context: Any) -> Any:
        plugin = self.plugin
        with plugin.call(request, context):
            volume = "v" + hashlib.sha256(request.name.encode()).hexdigest()[:16]
            (plugin.folder / "volumes" / volume).mkdir(exist_ok=True)
            if any(one.HasField("block") for one in request.volume_capabilities):
                with plugin.image(volume).open("ab") as image:
                    image.truncate(request.capacity_range.required_bytes or 1 << 20)
        made = csi.Volume(volume_id=volume, capacity_bytes=request.capacity_range.required_bytes)
        made.volume_context["name"] = request.name
        made.accessible_topology.extend(request.accessibility_requirements.requisite)
        return csi.CreateVolumeResponse(volume=made)

    def DeleteVolume(self, request: Any, context: Any) -> Any:
        plugin = self.plugin
        with plugin.call(request, context):
            if plugin.marks("published", request.volume_id):
                plugin.violation(f"DeleteVolume {request.volume_id} while it is published")
            shutil.rmtree(plugin.folder / "volumes" / request.volume_id, ignore_errors=True)
        return csi.DeleteVolumeResponse()

    def ControllerPublishVolume(self, request: Any, context: Any) -> Any:
        plugin, volume = self.plugin, request.volume_id
        with plugin.call(request, context):
            others = set(plugin.marks("published", volume)) - {request.node_id}
            mode = request.volume_capability.access_mode.mode
            if others and mode <= csi.VolumeCapability.AccessMode.SINGLE_NODE_READER_ONLY:
                plugin.violation(f"ControllerPublishVolume {volume} on {request.node_id} and {others}")
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"it is on {others}")
            (plugin.folder / "published" / f"{volume}@{request.node_id}").touch()
        return csi.ControllerPublishVolumeResponse(publish_context={"lun": f"7-{request.node_id}"})

    def ControllerUnpublishVolume(self, request: Any, context: Any) -> Any:
        plugin, volume = self.plugin, request.volume_id
        with plugin.call(request, context):
            if request.node_id in plugin.marks("staged", volume):
                plugin.violation(f"ControllerUnpublishVolume {volume} while staged on {request.node_id}")
            (plugin.folder / "published" / f"{volume}@{request.node_id}").unlink(missing_ok=True)
        return csi.ControllerUnpublishVolumeResponse()


class Node(rpc.NodeServicer):
    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin

    def NodeGetInfo(self, request: Any, context: Any) -> Any:
        topology = csi.Topology(segments=self.plugin.topology)
        return csi.NodeGetInfoResponse(node_id=self.plugin.node, accessible_topology=topology)

    def NodeGetCapabilities(self, request: Any, context: Any) -> Any:
        kind = csi.NodeServiceCapability.RPC
        return csi.NodeGetCapabilitiesResponse(
            capabilities=[csi.NodeServiceCapability(rpc=kind(type=kind.STAGE_UNSTAGE_VOLUME))]
        )

    def NodeStageVolume(self, request: Any, context: Any) -> Any:
        plugin, volume = self.plugin, request.volume_id
        with plugin.call(request, context):
            if plugin.node not in plugin.marks("published", volume):
                plugin.violation(f"NodeStageVolume {volume} before it is published to {plugin.node}")
            if request.publish_context["lun"] != f"7-{plugin.node}":
                plugin.violation(f"NodeStageVolume {volume} with another publish context")
            if request.volume_capability.HasField("block"):
                if not loop_device(plugin.image(volume)):
                    subprocess.run(["losetup", "-f", str(plugin.image(volume))], check=True)
            else:
                mount(plugin.folder / "volumes" / volume, Path(request.staging_target_path))
            (plugin.folder / "staged" / f"{volume}@{plugin.node}").touch()
        return csi.NodeStageVolumeResponse()

    def NodeUnstageVolume(self, request: Any, context: Any) -> Any:
        plugin = self.plugin
        with plugin.call(request, context):
            unmount(Path(request.staging_target_path))
            if device := loop_device(plugin.image(request.volume_id)):
                subprocess.run(["losetup", "-d", device], check=True)
            (plugin.folder / "staged" / f"{request.volume_id}@{plugin.node}").unlink(missing_ok=True)
        return csi.NodeUnstageVolumeResponse()

    def NodePublishVolume(self, request: Any, context: Any) -> Any:
        plugin, target = self.plugin, Path(request.target_path)
        with plugin.call(request, context):
            if request.volume_capability.HasField("block"):
                if not (source := loop_device(plugin.image(request.volume_id))):
                    plugin.violation(f"NodePublishVolume {request.volume_id} before it is staged")
                target.touch()
                mount(Path(source), target)
            else:
                if not is_mounted(Path(request.staging_target_path)):
                    plugin.violation(f"NodePublishVolume {request.volume_id} before it is staged")
                target.mkdir(exist_ok=True)
                mount(Path(request.staging_target_path), target)
        return csi.NodePublishVolumeResponse()

    def NodeUnpublishVolume(self, request: Any, context: Any) -> Any:
        with self.plugin.call(request, context):
            target = Path(request.target_path)
            unmount(target)
            if target.is_dir():
                target.rmdir()
            target.unlink(missing_ok=True)
        return csi.NodeUnpublishVolumeResponse()


def loop_device(image: Path) -> str:
    """Return the device that has the content of a file, empty when none has."""
    command = ["losetup", "-n", "-O", "NAME", "-j", str(image)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def is_mounted(path: Path) -> bool:
    return any(
        line.split(" ")[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines()
    )


def mount(source: Path, target: Path) -> None:
    if not is_mounted(target):
        subprocess.run(["mount", "--bind", str(source), str(target)], check=True)


def unmount(target: Path) -> None:
    while is_mounted(target):
        subprocess.run(["umount", str(target)], check=True)


def main() -> None:
    address, folder, node, *topology = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    plugin = Plugin(Path(folder), node, dict(one.split("=", 1) for one in topology))
    server = grpc.server(ThreadPoolExecutor(16))
    rpc.add_IdentityServicer_to_server(Identity(plugin), server)
    rpc.add_ControllerServicer_to_server(Controller(plugin), server)
    rpc.add_NodeServicer_to_server(Node(plugin), server)
    server.add_insecure_port(f"unix:{address}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
