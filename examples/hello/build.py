"""Build a small OCI image archive without Docker, registry or network: `build.py OUT.tar [--message TEXT]`.

The image answers HTTP on port 8080 with a page that shows the message (HELLO_MESSAGE) and the name of the
task's host. Give it to a cluster with `swarmctl image load -i OUT.tar`, then
`swarmctl service create --name web --publish 8080:8080 hello:1`.

The whole file system is this machine's static busybox (Debian: package busybox-static). Its command is a
shell script in the image's configuration, so that the same image also serves where tasks are plain
processes: there the script runs with the programs of the machine, and python3 serves the page when no
busybox is installed. Without a static busybox at build time the image has no files at all and is good
only for that.

The functions are importable: tests build variants (exit codes, crashes, slow starts) from `ImageSpec`. The
same input gives the same bytes, hence the same digests. Standard library only.
"""

import argparse
import gzip
import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
BUSYBOX_PATHS = ("/bin/busybox", "/usr/bin/busybox")
PORT = 8080

# The shell stays the first process and passes the stop on: a first process without a handler ignores it.
SERVE = f"""\
page=$(mktemp -d) || exit 1
host=${{HOSTNAME:-$(hostname)}}
printf '%s from %s\\n' "$HELLO_MESSAGE" "$host" > "$page/index.html"
if command -v busybox > /dev/null && busybox httpd --help 2>&1 | grep -q Usage; then
    busybox httpd -f -v -h "$page" -p "${{SWARM_TASK_ADDRESS:+$SWARM_TASK_ADDRESS:}}{PORT}" &
else
    python3 -m http.server {PORT} --bind "${{SWARM_TASK_ADDRESS:-0.0.0.0}}" --directory "$page" &
fi
server=$!
trap 'kill "$server"; wait "$server"; rm -rf "$page"; exit 0' TERM INT
wait "$server"
"""


@dataclass(frozen=True)
class ImageSpec:
    """What to build."""

    name: str = "docker.io/library/hello:1"
    script: str = SERVE
    env: Mapping[str, str] = field(default_factory=lambda: {"HELLO_MESSAGE": "Hello"})
    entrypoint: Sequence[str] = ()  # empty: the script, run by /bin/sh
    command: Sequence[str] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)  # further files, in a layer of their own


@dataclass(frozen=True)
class BuiltImage:
    """An image as content: every blob by its digest, and which of them is the manifest."""

    name: str
    manifest_digest: str
    blobs: Mapping[str, bytes]

    @property
    def manifest(self) -> bytes:
        """The manifest's content."""
        return self.blobs[self.manifest_digest]


def hello(message: str = "Hello", name: str = "docker.io/library/hello:1") -> ImageSpec:
    """Return the web server that says `message`."""
    return ImageSpec(name=name, env={"HELLO_MESSAGE": message})


def shell(name: str, script: str) -> ImageSpec:
    """Return an image that runs a shell script: `exit 3`, `sleep 5; exec httpd …`, `env`."""
    return ImageSpec(name=name, script=script, env={})


def static_busybox() -> Path | None:
    """Return a busybox of this machine that needs no library, None when there is none."""
    for candidate in map(Path, BUSYBOX_PATHS):
        if candidate.is_file() and not _has_interpreter(candidate):
            return candidate
    return None


def build(spec: ImageSpec) -> BuiltImage:
    """Build an image from this machine's busybox."""
    layers = [_base_layer(static_busybox())]
    if spec.files:
        layers.append(_layer([_file(path, content, 0o755) for path, content in sorted(spec.files.items())]))
    blobs: dict[str, bytes] = {}
    descriptors = []
    for layer in layers:
        content = gzip.compress(layer, 6, mtime=0)
        descriptors.append(_descriptor(blobs, "application/vnd.oci.image.layer.v1.tar+gzip", content))
    config = _descriptor(blobs, "application/vnd.oci.image.config.v1+json", _config(spec, layers))
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": descriptors,
    }
    digest = _add(blobs, _json(manifest))
    return BuiltImage(spec.name, digest, blobs)


def archive(*images: BuiltImage) -> bytes:
    """Return an OCI layout with these images as a tar."""
    manifests = [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": image.manifest_digest,
            "size": len(image.manifest),
            "annotations": {
                "io.containerd.image.name": image.name,
                "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
            },
        }
        for image in images
    ]
    blobs = {digest: content for image in images for digest, content in image.blobs.items()}
    entries = [
        _file("oci-layout", _json({"imageLayoutVersion": "1.0.0"})),
        _file("index.json", _json({"schemaVersion": 2, "manifests": manifests})),
    ]
    for digest, content in sorted(blobs.items()):
        entries.append(_file(f"blobs/sha256/{digest.removeprefix('sha256:')}", content))
    return _layer(entries)


def _config(spec: ImageSpec, layers: Sequence[bytes]) -> bytes:
    machine = platform.machine()
    runs = {
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            *(f"{key}={value}" for key, value in spec.env.items()),
        ],
        "Entrypoint": list(spec.entrypoint) or ["/bin/sh", "-c", spec.script, "sh"],
        "Cmd": list(spec.command),
        "User": spec.user,
        "WorkingDir": spec.working_dir,
        "StopSignal": spec.stop_signal,
    }
    document = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": {key: value for key, value in runs.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
    }
    return _json(document)


Entry = tuple[tarfile.TarInfo, bytes]


def _base_layer(busybox: Path | None) -> bytes:
    folders = ["bin", "dev", "etc", "proc", "sys", "tmp", "usr", "usr/bin", "var"]
    entries = [_folder(name, 0o1777 if name == "tmp" else 0o755) for name in folders]
    entries.append(
        _file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    )
    entries.append(_file("etc/group", b"root:x:0:\nnogroup:x:65534:\n"))
    if busybox is not None:
        entries.append(_file("bin/busybox", busybox.read_bytes(), 0o755))
        applets = subprocess.run([busybox, "--list"], capture_output=True, check=True, text=True).stdout
        entries += [_link(f"bin/{name}", "busybox") for name in sorted(applets.split()) if name != "busybox"]
    return _layer(entries)


def _layer(entries: Sequence[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _folder(name: str, mode: int) -> Entry:
    info = tarfile.TarInfo(f"{name}/")
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def _file(name: str, content: bytes, mode: int = 0o644) -> Entry:
    info = tarfile.TarInfo(name.lstrip("/"))
    info.size, info.mode = len(content), mode
    return info, content


def _link(name: str, target: str) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    return info, b""


def _has_interpreter(program: Path) -> bool:
    """Tell whether an ELF program asks for a dynamic linker (program header of type 3)."""
    with program.open("rb") as file:
        header = file.read(64)
        if header[:4] != b"\x7fELF":
            return True  # a script, perhaps
        wide, order = header[4] == 2, "little" if header[5] == 1 else "big"
        at, size = (32, 8) if wide else (28, 4)
        start = int.from_bytes(header[at : at + size], order)
        at = 54 if wide else 42
        entry_size, count = (int.from_bytes(header[at + shift : at + shift + 2], order) for shift in (0, 2))
        file.seek(start)
        table = file.read(entry_size * count)
    types = [int.from_bytes(table[place : place + 4], order) for place in range(0, len(table), entry_size)]
    return 3 in types


def _descriptor(blobs: dict[str, bytes], media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _add(blobs, content), "size": len(content)}


def _add(blobs: dict[str, bytes], content: bytes) -> str:
    digest = _digest(content)
    blobs[digest] = content
    return digest


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def main() -> int:
    """Write the archive named on the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Build a small web server image as an OCI archive.")
    parser.add_argument("out", type=Path, help="where to write the archive")
    parser.add_argument("--message", default="Hello", help="what the page says")
    parser.add_argument("--name", default="docker.io/library/hello:1", help="reference of the image")
    options = parser.parse_args()
    options.out.write_bytes(archive(build(hello(options.message, options.name))))
    if static_busybox() is None:
        sys.stderr.write("no static busybox here: the image only works where tasks are plain processes\n")
    sys.stdout.write(f"built {options.name} in {options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
