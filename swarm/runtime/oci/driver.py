"""Containers by crun or runc, each held by conmon, on an overlay of the image's layers."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

import structlog

from swarm.clock import Clock
from swarm.errors import FailedPrecondition, TaskFailed, TaskRejected, UserError
from swarm.runtime.base import (
    Attachment,
    Capabilities,
    ContainerConfig,
    ExecConfig,
    ExecProcess,
    ImageMount,
    Limits,
    ProcessInfo,
    Sample,
)
from swarm.runtime.exec_process import CannotRun, ExecFiles, exec_mark
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci import conmon, freezer, verbs
from swarm.runtime.oci.abilities import Abilities, abilities, described, read_abilities, read_again
from swarm.runtime.oci.apparmor import load_default
from swarm.runtime.oci.attach import ConmonAttachment
from swarm.runtime.oci.binaries import INSTALLED, SEARCH_PATH
from swarm.runtime.oci.bundle import CGROUP_FILE, BundlePlace, make_bundle
from swarm.runtime.oci.cgroups import (
    Cgroup,
    CgroupLayout,
    hasten_moves,
    open_to_containers,
    read_layout,
    shim_procs_files,
)
from swarm.runtime.oci.console import wanted_terminal
from swarm.runtime.oci.creation import create_container
from swarm.runtime.oci.devices import CdiSettings
from swarm.runtime.oci.exec import (
    OciExec,
    exec_command,
    exec_process,
    grantable_capabilities,
    kill_left_exec,
    write_request,
)
from swarm.runtime.oci.files import FilesDriver
from swarm.runtime.oci.gate import let_go, opened_at_ns
from swarm.runtime.oci.invocation import Invocation
from swarm.runtime.oci.layers import LayerSource
from swarm.runtime.oci.log_rotation import LogRotation
from swarm.runtime.oci.mount_points import make_mount_points
from swarm.runtime.oci.overlay import mounts_below, unmount
from swarm.runtime.oci.parts import remove_parts
from swarm.runtime.oci.places import read_places
from swarm.runtime.oci.probe import Choice, choose
from swarm.runtime.oci.resources import changed_resources
from swarm.runtime.oci.rootfs import read_text_inside
from swarm.runtime.oci.selinux import Levels
from swarm.runtime.oci.spec import spec_warnings
from swarm.runtime.oci.user_namespaces import IdRange, clear
from swarm.runtime.oci.user_ranges import SUBORDINATE_IDS, UserRanges
from swarm.runtime.oci.users import User, resolve_user
from swarm.runtime.places import Places
from swarm.runtime.processes import Process, kill_and_wait
from swarm.runtime.starter import cgroups as starter_cgroups
from swarm.runtime.state import Phase, Record, mark_running, remove_tree
from swarm.runtime.supervision import Container
from swarm.runtime.top import read_processes
from swarm.runtime.traffic import with_network

log = structlog.get_logger(__name__)

SHIM_GRACE_S = 2.0
ABILITIES_S = 1.0  # how old may be what we know of the node


class OciDriver(FilesDriver):
    """Real containers. Several drivers may work side by side, each with directories of its own."""

    _doubtful = Phase.CREATED  # the gate of each container says whether it was started

    def __init__(  # noqa: PLR0913 -- one argument for each thing of the node
        self,
        directory: Path,
        run_dir: Path,
        cgroup_parent: str,
        layers: LayerSource,
        *,
        preference: Sequence[str] = INSTALLED,
        choice: Choice | None = None,
        clock: Clock | None = None,
        layout: CgroupLayout | None = None,
        cdi: CdiSettings | None = None,
        users: IdRange = SUBORDINATE_IDS,
    ) -> None:
        """Keep containers in `directory`, what only this boot needs in `run_dir`, cgroups below
        `cgroup_parent`.

        `preference` names the OCI runtimes to try, best first; a `choice` skips the trial. `cdi`: where the
        node's devices are described, the usual places unless it says so. `users`: the ids of the node for
        containers with users of their own.
        """
        super().__init__(directory, run_dir, layers, clock)
        instance = hashlib.sha256(str(self._directory).encode()).hexdigest()[:12]
        self._mount_points = self._directory / "mount-points"
        self._cgroup_parent = f"/{cgroup_parent.strip('/')}"
        self._instance = f"{self._cgroup_parent}/{instance}"
        self._preference = tuple(preference)
        self._choice = choice
        self._given_layout = layout
        self._cdi = cdi or CdiSettings()
        self._rotation = LogRotation(self._living, self._in_thread)
        self._users = UserRanges(users, self._directory / "containers")
        self._levels = Levels(self._directory / "containers")
        self._invocation: Invocation | None = None
        self._making = 0
        self._read_abilities: tuple[float, Abilities | None] = (0.0, None)
        self._ready = False
        self._choosing = asyncio.Lock()

    @property
    def _layout(self) -> CgroupLayout:
        if self._given_layout is None:
            self._given_layout = read_layout()
        return self._given_layout

    @property
    def _runtime_root(self) -> Path:
        return self._run_dir / "root"

    def _shim_files(self, container_id: str) -> conmon.ShimFiles:
        return conmon.ShimFiles(self._run_dir / "bundles" / container_id, self._log_path(container_id))

    async def places(self, container_id: str) -> Places:
        """Return where it has what it consists of."""
        bundle = self._run_dir / "bundles" / container_id
        directory, log_path = self._container_dir(container_id), self._log_path(container_id)
        return await self._in_thread(read_places, directory, bundle, log_path)

    def _cgroup(self, container_id: str) -> Cgroup:
        try:
            path = (self._container_dir(container_id) / CGROUP_FILE).read_text("utf-8")
        except OSError:
            path = f"{self._instance}/{container_id}"
        return Cgroup(self._layout, path)

    async def probe(self) -> Capabilities:
        """Try the ways to run containers until one passes; raises FailedPrecondition with all reasons."""
        choice = (await self._chosen()).choice
        node = await self._in_thread(read_abilities, self._layout, self._instance)
        able, ignored = abilities(node)
        info = {**choice.info, **described(node)}
        return Capabilities("oci", isolated=True, info=info, abilities=able, ignored=ignored)

    async def _chosen(self) -> Invocation:
        if self._invocation is not None:
            return self._invocation
        async with self._choosing:
            if not self._ready:
                await self._in_thread(self._set_up)
                self._ready = True
            if self._invocation is None:
                choice = self._choice or await choose(
                    self._directory, self._layout, self._preference, self._trial_driver
                )
                self._invocation = await self._in_thread(Invocation, choice)
            return self._invocation

    def _set_up(self) -> None:
        conmon.take_back_null()  # an agent was killed while it made a container
        obstacle = load_default()
        if obstacle:
            log.warning("runtime.no_apparmor_profile", reason=obstacle)
        for directory in (self._directory / "containers", self._runtime_root, self._run_dir / "bundles"):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_mount_points(self._mount_points)
        try:
            Cgroup(self._layout, self._instance).create()
            if self._shim_cgroups():
                Cgroup(self._layout, f"{self._instance}/shims").create(for_processes=True)
        except OSError as error:
            raise FailedPrecondition(f"cannot make the cgroup {self._instance}: {error}") from error

    def _trial_driver(self, choice: Choice, layers: LayerSource) -> "OciDriver":
        return OciDriver(
            self._directory / "self-test",
            self._run_dir / "self-test",
            self._cgroup_parent,
            layers,
            choice=choice,
            layout=self._layout,
        )

    def _shim_cgroups(self) -> list[Path]:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8")
        return shim_procs_files(self._layout, own, f"{self._instance}/shims")

    # Making

    async def _make(self, config: ContainerConfig) -> Container:
        invocation = await self._chosen()
        self._making += 1
        if self._making == 1:  # the moves of several hasten each other
            self._threads.submit(hasten_moves, self._layout)  # first of all: it takes longer than the bundle
        try:
            image, layers, mounted = self._leased(config)
            return await self._in_thread(self._build, invocation, config, image, layers, mounted)
        finally:
            self._making -= 1

    def _leased(
        self, config: ContainerConfig
    ) -> tuple[ImageConfig, Sequence[Path], Mapping[str, Sequence[Path]]]:
        """Return the images of a container, which nobody removes from now on; raises TaskRejected."""
        try:
            image = self._layers.image_config(config.image_digest)
            layers = self._layers.lower_dirs(config.image_digest)
            mounted = {
                one.image_digest: self._layers.lower_dirs(one.image_digest)
                for one in config.mounts
                if isinstance(one, ImageMount)
            }
            self._layers.lease(config.id, config.image_digest, tuple(mounted))
        except UserError as error:
            raise TaskRejected(str(error)) from error
        return image, layers, mounted

    def _build(
        self,
        invocation: Invocation,
        config: ContainerConfig,
        image: ImageConfig,
        layers: Sequence[Path],
        mounted: Mapping[str, Sequence[Path]],
    ) -> Container:
        files = self._shim_files(config.id)
        place = self._place(config, files.bundle, invocation)
        warnings = make_bundle(config, image, layers, place, mounted)
        shims = self._shim_cgroups()
        container = create_container(config, image, invocation, self._runtime_root, files, shims)
        try:
            if config.limits.blkio_weight:
                self._cgroup(config.id).set_block_weight(config.limits.blkio_weight)
            if config.limits.block:
                self._cgroup(config.id).set_block_limits(config.limits.block)
            container.record = self._write_down(replace(container.record, warnings=warnings))
        except BaseException:
            container.let_go()
            raise
        return container

    def _place(self, config: ContainerConfig, bundle: Path, invocation: Invocation) -> BundlePlace:
        parent = self._instance
        if config.cgroup_parent:
            parent = f"/{config.cgroup_parent.strip('/')}"
            open_to_containers(self._layout, parent)
        node = self._abilities()
        return BundlePlace(
            self._container_dir(config.id),
            bundle,
            f"{parent}/{config.id}",
            self._mount_points,
            node,
            self._cdi,
            self._users.take(config, node),
            self._levels.take(config, node.selinux),
            invocation.takes_filters,
        )

    async def foresee(self, config: ContainerConfig) -> Sequence[str]:
        """Return the warnings that its container would have."""
        return spec_warnings(config, await self._in_thread(self._abilities))

    def _abilities(self) -> Abilities:
        """Return what this node can do; many containers at once need not ask for each."""
        read, found = self._read_abilities
        if found is None or time.monotonic() - read > ABILITIES_S:
            place = (self._layout, self._instance)
            found = read_again(found, *place) if found else read_abilities(*place)
            self._read_abilities = (time.monotonic(), found)
        return found

    # Running

    async def _launch(self, record: Record) -> Record:
        running = replace(record, phase=Phase.RUNNING)
        if not await self._in_thread(self._let_go, running):
            complaint = await verbs.start(record.runtime, self._runtime_root, record.id)
            if complaint is not None:
                raise TaskFailed(conmon.readable_error(complaint, ""))
            await self._in_thread(self._mark_running, running)
        return running

    def _let_go(self, running: Record) -> bool:
        config = self._shim_files(running.id).config
        if not let_go(running.runtime, self._runtime_root, running.id, config):
            return False
        self._mark_running(running)
        return True

    def _mark_running(self, running: Record) -> None:
        try:
            mark_running(self._record_path(running.id), running.started_at_ns)
        except OSError as error:  # then its gate will say it
            log.warning("runtime.record_not_written", task_id=running.id, reason=str(error))

    async def _find_out(self, record: Record) -> Record:
        opened_ns = opened_at_ns(record.runtime, self._runtime_root, record.id, self._clock.now_ns())
        if not opened_ns:
            return replace(record, phase=Phase.CREATED, started_at_ns=0)
        return replace(record, phase=Phase.RUNNING, started_at_ns=opened_ns)  # or ended: that will be seen

    async def _exec(self, record: Record, files: ExecFiles, config: ExecConfig) -> ExecProcess:
        score = await self._in_thread(self._write_exec_request, record, files, config)
        terminal = wanted_terminal(config, record.runtime, files.console)
        process = OciExec(files, self._cgroup(record.id), config.command[0], terminal)
        command = exec_command(record.runtime, self._runtime_root, files, record.id, score)
        await process.launch(command, env={"PATH": SEARCH_PATH}, cwd="/", stdin=config.stdin)
        return process

    def _write_exec_request(self, record: Record, files: ExecFiles, config: ExecConfig) -> int:
        """Write what is to be run; return the container's OOM score adjustment."""
        try:
            spec = json.loads(self._shim_files(record.id).config.read_bytes())
            user = self._user_inside(record.id, config.user) if config.user else None
            mark = exec_mark(files.exec_id)
            process = exec_process(spec["process"], config, mark, user, grantable_capabilities())
            write_request(files, process)
            return int(process["oomScoreAdj"])
        except TaskRejected as error:
            raise CannotRun(str(error)) from None
        except OSError as error:
            raise FailedPrecondition(f"cannot run a command in container {record.id}: {error}") from error

    def _user_inside(self, container_id: str, name: str) -> User:
        rootfs = self._container_dir(container_id) / "rootfs"
        texts = (read_text_inside(rootfs, path) for path in ("/etc/passwd", "/etc/group"))
        return resolve_user(name, *texts)

    def _kill_left_exec(self, container_id: str, files: ExecFiles) -> None:
        kill_left_exec(files, self._cgroup(container_id))

    def _exit_status(self, record: Record) -> tuple[int, int] | None:
        return conmon.read_exit_code(self._shim_files(record.id), record.id)

    def _was_out_of_memory(self, record: Record) -> bool:
        return self._cgroup(record.id).oom_kills() > 0

    def _sample(self, record: Record) -> Sample | None:
        return with_network(self._cgroup(record.id).sample(), record.pid)

    # Looking into it

    async def attach(self, container_id: str) -> Attachment:
        """Look on at a container; raises NotFound, FailedPrecondition."""
        record = self._attachable(container_id)
        try:
            return ConmonAttachment(self._shim_files(record.id))
        except FileNotFoundError:
            return await super().attach(container_id)  # our own shim has no socket for this
        except OSError as error:
            raise FailedPrecondition(f"cannot attach to container {container_id}: {error}") from error

    async def update(self, container_id: str, limits: Limits, before: Limits) -> None:
        """Give a running container other bounds and shares; raises as the contract says."""
        record = self._running(container_id)
        node = await self._in_thread(read_abilities, self._layout, self._instance)
        resources = changed_resources(limits, before, node)
        try:
            await self._in_thread(starter_cgroups.update, self._cgroup(record.id).path, resources)
            if limits.blkio_weight:
                await self._in_thread(self._cgroup(record.id).set_block_weight, limits.blkio_weight)
        except OSError as error:
            raise TaskRejected(f"the kernel does not take the limits: {error}") from error

    async def pause(self, container_id: str) -> None:
        """Give a running container no more time."""
        record = self._running(container_id)
        await self._in_thread(freezer.freeze, self._layout, self._cgroup(record.id).path)

    async def unpause(self, container_id: str) -> None:
        """Let a paused container go on."""
        await self._in_thread(self._thaw, self._running(container_id))

    def _thaw(self, record: Record) -> None:
        freezer.thaw(self._layout, self._cgroup(record.id).path)

    def _is_paused(self, record: Record) -> bool:
        return freezer.is_frozen(self._layout, self._cgroup(record.id).path)

    async def processes(self, container_id: str) -> Sequence[ProcessInfo]:
        """Return what runs in a container."""
        record = self._running(container_id)
        return await self._in_thread(lambda: read_processes(self._cgroup(record.id).processes()))

    def _supervise(self, container: Container) -> None:
        super()._supervise(container)
        self._rotation.begin()

    def _living(self) -> list[tuple[Record, conmon.ShimFiles]]:
        records = (one.record for one in self._containers.values() if not one.ended.is_set())
        return [(record, self._shim_files(record.id)) for record in records]

    # Tearing down

    def _kill_everything(self, record: Record) -> None:
        self._cgroup(record.id).kill()

    def _destroy(self, container_id: str, record: Record | None) -> None:
        # Without its record the container counts as half made: whoever is killed from here on leaves it to
        # `adopt`.
        self._record_path(container_id).unlink(missing_ok=True)
        self._clear(container_id, record)
        directory = self._container_dir(container_id)
        with suppress(FileNotFoundError):
            # Never by a recursive removal: that would reach through a mount that stayed.
            (directory / "rootfs").rmdir()
        remove_tree(directory)

    def _clear(self, container_id: str, record: Record | None) -> None:
        files = self._shim_files(container_id)
        if record is None:
            files.config.unlink(missing_ok=True)
            conmon.kill_strays(container_id, files.bundle)
        else:
            _end_process(Process.open(record.pid, record.pid_started), grace_s=0.0)
            _end_process(Process.open(record.shim_pid, record.shim_started), grace_s=SHIM_GRACE_S)
        if not self._cgroup(container_id).remove():
            raise OSError(f"processes in cgroup {self._instance}/{container_id} do not end")
        while unmount(self._container_dir(container_id) / "rootfs"):
            pass
        clear(container_id)
        remove_parts(self._container_dir(container_id) / "parts")
        self._users.give_back(container_id)
        self._levels.give_back(container_id)
        # What the runtime's own `delete` would do besides, without starting it: 7 ms saved, and no complaint
        # about a container that it had only half made.
        self._execs.forget(container_id)
        for path in (self._runtime_root / container_id, files.bundle):
            remove_tree(path)

    async def close(self) -> None:
        """Let go of the containers without touching them."""
        await self._rotation.close()
        await super().close()
        if self._invocation is not None:
            self._invocation.close()

    async def cleanup(self) -> None:
        """Remove all containers and everything else that this driver ever made; nothing can be run after."""
        trial = None if self._directory.name == "self-test" else self._trial_driver(_NO_CHOICE, self._layers)
        if trial is not None and trial._directory.exists():
            await trial.cleanup()
        for container_id, _ in await self._in_thread(self._read_records):
            await self.remove(container_id)
        await self.close()
        await asyncio.to_thread(self._remove_instance)

    def _remove_instance(self) -> None:
        for point in mounts_below(self._directory):
            unmount(point)
        Cgroup(self._layout, self._instance).remove()
        parent = PurePosixPath(self._cgroup_parent).relative_to("/")
        for root in self._layout.roots:
            for shared in (parent, *parent.parents[:-1]):
                with suppress(OSError):  # by other drivers, perhaps
                    (root / shared).rmdir()
        for path in (self._directory, self._run_dir):
            remove_tree(path)


_NO_CHOICE = Choice(name="", conmon="", executable="", program="", hide="", info={})


def _end_process(process: Process | None, grace_s: float) -> None:
    """Wait up to `grace_s` for a process to end by itself, then kill it; blocks."""
    if process is None:
        return
    try:
        if not process.ends_within(grace_s) and not kill_and_wait(process, SHIM_GRACE_S):
            log.warning("runtime.process_does_not_end", pid=process.pid)
    finally:
        process.close()
