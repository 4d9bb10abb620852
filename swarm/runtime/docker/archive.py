"""Unpacked layers as an archive that `docker load` takes: small images that no registry has."""

import hashlib
import io
import json
import stat
import tarfile
from collections.abc import Sequence
from pathlib import Path

from swarm.runtime.images.base import ImageConfig
from swarm.runtime.images.platforms import host_platform


def archive_of(layers: Sequence[Path], image: ImageConfig, name: str) -> bytes:
    """Return the archive of an image called `name` of `layers`, top layer first; blocks.

    It is all in memory. What a layer removes is a character device 0:0, as overlayfs has it.
    """
    tars = [_layer(directory) for directory in reversed(layers)]
    platform = host_platform()
    config = {
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {
            "Env": list(image.env),
            "Entrypoint": list(image.entrypoint),
            "Cmd": list(image.command),
            "WorkingDir": image.working_dir,
            "User": image.user,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(data)}" for data in tars]},
        "history": [{"created_by": "swarm"} for _ in tars],
    }
    text = json.dumps(config, sort_keys=True).encode()
    files = {f"{_digest(data)}.tar": data for data in tars} | {f"{_digest(text)}.json": text}
    entry = {
        "Config": f"{_digest(text)}.json",
        "RepoTags": [name],
        "Layers": [f"{_digest(data)}.tar" for data in tars],
    }
    files["manifest.json"] = json.dumps([entry]).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _layer(directory: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(directory.rglob("*")):
            name = path.relative_to(directory)
            status = path.lstat()
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                tar.addfile(tarfile.TarInfo(str(name.with_name(f".wh.{name.name}"))))
            else:
                tar.add(path, str(name), recursive=False)
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
