"""The images that are measured with, in a registry of our own: a shell, and 250 MB in five layers."""

import gzip
import hashlib
import io
import json
import random
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

SMALL, LARGE = "bench/shell", "bench/large"
LAYERS, FILES = 5, 200
FILE_BYTES = 256 * 1024
READY_S = 30
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def shell_layer() -> bytes:
    """Return a layer with busybox."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, "bin/busybox", Path("/bin/busybox").read_bytes(), 0o755)
        for applet in ("sh", "sleep"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return buffer.getvalue()


def large_layer(number: int, file_bytes: int) -> bytes:
    """Return a layer of files that are half noise: as compressible as programs are."""
    noise = random.Random(number)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in range(FILES):
            half = noise.randbytes(file_bytes // 2)
            _add(archive, f"data/{number}/{file % 16}/{file}", half + b"program " * (file_bytes // 16))
    return buffer.getvalue()


class Registry:
    """Debian's docker-registry on a port of this machine."""

    def __init__(self, folder: Path, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        settings = folder / "registry.yml"
        settings.write_text(
            f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/registry\n"
            f"http:\n  addr: {self.address}\nlog:\n  accesslog:\n    disabled: true\n  level: error\n"
        )
        with (folder / "registry.log").open("ab") as log:
            self._process = subprocess.Popen(
                [shutil.which("docker-registry") or "registry", "serve", str(settings)],
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + READY_S
        while True:
            try:
                self._ask("GET", "/v2/")
            except OSError:
                if time.monotonic() > end:
                    self.close()
                    raise
                time.sleep(0.1)
            else:
                return

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()

    def push(self, repository: str, layers: list[bytes], command: list[str]) -> None:
        """Put an image into the registry, as `REPOSITORY:1`."""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": command},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        }
        kind = "application/vnd.docker"
        parts = [self._blob(repository, gzip.compress(layer, 1)) for layer in layers]
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {
                **self._blob(repository, json.dumps(config).encode()),
                "mediaType": f"{kind}.container.image.v1+json",
            },
            "layers": [{**one, "mediaType": f"{kind}.image.rootfs.diff.tar.gzip"} for one in parts],
        }
        self._ask("PUT", f"/v2/{repository}/manifests/1", json.dumps(manifest).encode(), _MANIFEST)

    def _blob(self, repository: str, content: bytes) -> dict[str, object]:
        place = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"")
        digest = _digest(content)
        between = "&" if "?" in place else "?"
        self._ask("PUT", f"{place}{between}digest={digest}", content, "application/octet-stream")
        return {"digest": digest, "size": len(content)}

    def _ask(self, method: str, place: str, body: bytes | None = None, kind: str = "") -> str:
        url = place if place.startswith("http") else f"http://{self.address}{place}"
        request = Request(url, data=body, method=method, headers={"Content-Type": kind} if kind else {})
        with urlopen(request, timeout=60) as answer:
            return str(answer.headers.get("Location", ""))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
