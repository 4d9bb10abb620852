"""What does an engine's `inspect` say of a container? Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from swarm.runtime.base import ContainerInfo, ContainerState
from swarm.runtime.docker.logs import nanoseconds
from swarm.runtime.docker.request import TASK_LABEL
from swarm.runtime.places import Places

LOST_EXIT_CODE = 255
_ENDED = frozenset({"exited", "dead", "removing"})
_NEVER_RAN = frozenset({"created"})


def container_info(
    about: Mapping[str, Any], warnings: Sequence[str], stopped: str, renewed: str = ""
) -> ContainerInfo:
    """Return the state of a container; `stopped` is why one that never ran will not, if it will not.

    `renewed` is when the run began after which it was made ready to start again: that run is past.
    """
    state = about["State"]
    status = str(state.get("Status", "")).lower()
    container_id = about["Config"]["Labels"][TASK_LABEL]
    is_renewed = bool(renewed) and str(state.get("StartedAt", "")) == renewed and status != "running"
    if is_renewed and not stopped:
        return ContainerInfo(container_id, ContainerState.CREATED, warnings=tuple(warnings))
    never_ran = is_renewed or status in _NEVER_RAN or not nanoseconds(str(state.get("StartedAt", "")))
    failed = stopped or (str(state.get("Error") or "") if never_ran else "")
    if never_ran and not failed and status in _NEVER_RAN:
        return ContainerInfo(container_id, ContainerState.CREATED, warnings=tuple(warnings))
    if never_ran:
        return failed_info(container_id, failed, nanoseconds(str(state.get("FinishedAt", ""))), warnings)
    ended = status in _ENDED
    started_at_ns = nanoseconds(str(state["StartedAt"]))
    return ContainerInfo(
        container_id,
        ContainerState.EXITED if ended else ContainerState.RUNNING,
        pid=0 if ended else int(state.get("Pid") or 0),
        exit_code=int(state.get("ExitCode") or 0) if ended else 0,
        oom_killed=bool(state.get("OOMKilled")) and ended,
        error=str(state.get("Error") or "") if ended else "",
        started_at_ns=started_at_ns,
        # Docker takes the times in different places: one that ends at once may seem to end before.
        finished_at_ns=max(nanoseconds(str(state["FinishedAt"])), started_at_ns) if ended else 0,
        paused=bool(state.get("Paused")) and not ended,
        warnings=tuple(warnings),
    )


def failed_info(
    container_id: str, reason: str, finished_at_ns: int, warnings: Sequence[str] = ()
) -> ContainerInfo:
    """Return the state of a container that never ran and never will."""
    return ContainerInfo(
        container_id,
        ContainerState.EXITED,
        exit_code=LOST_EXIT_CODE,
        error=reason,
        finished_at_ns=finished_at_ns,
        warnings=tuple(warnings),
    )


def engine_places(about: Mapping[str, Any]) -> Places:
    """Return where the engine has what belongs to a container."""
    host, graph = about.get("HostConfig") or {}, about.get("GraphDriver") or {}
    data = graph.get("Data") or {}
    sources = {one["Destination"]: one.get("Source", "") for one in about.get("Mounts") or ()}

    def said(key: str) -> str:
        return str(about.get(key) or "")

    return Places(
        log=said("LogPath"),
        resolv_conf=sources.get("/etc/resolv.conf") or said("ResolvConfPath"),
        hostname=sources.get("/etc/hostname") or said("HostnamePath"),
        hosts=sources.get("/etc/hosts") or said("HostsPath"),
        storage_driver=str(graph.get("Name") or about.get("Driver") or ""),
        merged=str(data.get("MergedDir") or ""),
        upper=str(data.get("UpperDir") or ""),
        work=str(data.get("WorkDir") or ""),
        network=str((about.get("NetworkSettings") or {}).get("SandboxKey") or ""),
        apparmor=said("AppArmorProfile"),
        process_label=said("ProcessLabel"),
        mount_label=said("MountLabel"),
        masked_paths=tuple(host.get("MaskedPaths") or ()),
        readonly_paths=tuple(host.get("ReadonlyPaths") or ()),
        sources=sources,
    )
