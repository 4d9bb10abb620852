"""Has a shim and the OCI runtime create a container, and holds the processes that they made. Blocks."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from swarm.runtime.base import ContainerConfig
from swarm.runtime.command import command_line, stop_signal
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci import conmon
from swarm.runtime.oci.invocation import Invocation
from swarm.runtime.processes import Process, boot_id
from swarm.runtime.state import Record
from swarm.runtime.supervision import Container


def create_container(
    config: ContainerConfig,
    image: ImageConfig,
    invocation: Invocation,
    runtime_root: Path,
    files: conmon.ShimFiles,
    shim_cgroups: Sequence[Path],
) -> Container:
    """Return the container, which waits to be started; raises TaskRejected, OSError.

    `shim_cgroups` are the cgroup.procs files that its shim has to join.
    """
    choice = invocation.choice
    with invocation.words() as runtime:
        command = conmon.conmon_command(choice.conmon, runtime, runtime_root, files, config)
        pid = conmon.create(command, files.errors, command_line(config, image)[0])
    shim_pid = int(files.pid_file.read_text("ascii"))
    for file in shim_cgroups:
        with suppress(OSError):  # better there than nowhere
            file.write_text(str(shim_pid), "ascii")
    main, shim = Process.open(pid), Process.open(shim_pid)
    record = Record(
        id=config.id,
        boot_id=boot_id(),
        image_digest=config.image_digest,
        runtime=choice.executable,
        stop_signal=stop_signal(config, image),
        log_max_bytes=config.log_max_bytes,
        log_files=config.log_files,
        pid=pid,
        pid_started=main.started if main else 0,
        shim_pid=shim_pid,
        shim_started=shim.started if shim else 0,
        shares_pids=config.shared.pid,
    )
    return Container(record, main, shim)
