"""What the node tells of the files of its containers."""

import json
from pathlib import Path

from swarm.runtime.oci.places import read_places
from swarm.runtime.places import Places

SPEC = {
    "root": {"path": "/c/rootfs"},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/etc/hosts", "source": "/c/hosts", "options": ["rbind", "rw"]},
        {"destination": "/etc/hostname", "source": "/c/hostname", "options": ["rbind"]},
        {"destination": "/etc/resolv.conf", "source": "/run/resolv.conf", "options": ["bind"]},
        {"destination": "/data", "source": "/volumes/data/_data", "options": ["rbind"]},
    ],
    "process": {"apparmorProfile": "swarm-default", "selinuxLabel": "s:p"},
    "linux": {
        "namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/c"}],
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "s:m",
    },
}


def test_a_container_has_what_its_config_says(tmp_path: Path) -> None:
    bundle, directory, log = tmp_path / "bundle", tmp_path / "c", tmp_path / "c/log"
    bundle.mkdir()
    (directory / "upper").mkdir(parents=True)
    (directory / "work").mkdir()
    log.touch()
    (bundle / "config.json").write_text(json.dumps(SPEC))
    assert read_places(directory, bundle, log) == Places(
        log=str(log),
        resolv_conf="/run/resolv.conf",
        hostname="/c/hostname",
        hosts="/c/hosts",
        storage_driver="overlayfs",
        merged="/c/rootfs",
        upper=str(directory / "upper"),
        work=str(directory / "work"),
        network="/run/netns/c",
        apparmor="swarm-default",
        process_label="s:p",
        mount_label="s:m",
        masked_paths=("/proc/kcore",),
        readonly_paths=("/proc/sys",),
        sources={
            "/etc/hosts": "/c/hosts",
            "/etc/hostname": "/c/hostname",
            "/etc/resolv.conf": "/run/resolv.conf",
            "/data": "/volumes/data/_data",
        },
    )


def test_one_that_was_never_made_or_is_damaged_has_nothing_that_could_be_told(tmp_path: Path) -> None:
    nothing = Places(storage_driver="overlayfs")
    assert read_places(tmp_path / "c", tmp_path / "none", tmp_path / "c/log") == nothing
    (tmp_path / "config.json").write_text("{")
    assert read_places(tmp_path / "c", tmp_path, tmp_path / "c/log") == nothing
