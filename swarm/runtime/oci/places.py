"""Where is what belongs to a container? What its config.json says, which its runtime was given."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swarm.runtime.places import Places

_STORAGE = "overlayfs"


def read_places(directory: Path, bundle: Path, log: Path) -> Places:
    """Return the places of a container with these folders; of one that has none yet only a few are known."""
    try:
        spec = json.loads((bundle / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        spec = {}
    upper, work = directory / "upper", directory / "work"
    return places(
        spec,
        log=str(log) if log.exists() else "",
        upper=str(upper) if upper.is_dir() else "",
        work=str(work) if work.is_dir() else "",
    )


def places(spec: Mapping[str, Any], *, log: str, upper: str, work: str) -> Places:
    """Return what a config.json of our own says of a container."""
    linux, process = spec.get("linux", {}), spec.get("process", {})
    sources = {one["destination"]: one.get("source", "") for one in spec.get("mounts", ()) if _is_bind(one)}
    return Places(
        log=log,
        resolv_conf=sources.get("/etc/resolv.conf", ""),
        hostname=sources.get("/etc/hostname", ""),
        hosts=sources.get("/etc/hosts", ""),
        storage_driver=_STORAGE,
        merged=spec.get("root", {}).get("path", ""),
        upper=upper,
        work=work,
        network=next(
            (one.get("path", "") for one in linux.get("namespaces", ()) if one["type"] == "network"), ""
        ),
        apparmor=process.get("apparmorProfile", ""),
        process_label=process.get("selinuxLabel", ""),
        mount_label=linux.get("mountLabel", ""),
        masked_paths=tuple(linux.get("maskedPaths", ())),
        readonly_paths=tuple(linux.get("readonlyPaths", ())),
        sources=sources,
    )


def _is_bind(mount: Mapping[str, Any]) -> bool:
    return bool({"bind", "rbind"} & set(mount.get("options", ())))
