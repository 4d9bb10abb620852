"""Everything that reads the bytes of strangers, each as one function of bytes.

A target returns when the bytes were understood or refused as they should be; any other exception is a find.
Hypothesis drives them in the unit tests, atheris by `make fuzz`.
"""

import base64
import contextlib
import io
import json
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

import httpx

from swarm.cli.docker_config import DockerConfig
from swarm.errors import InvalidArgument, SwarmError, TaskRejected, Unavailable
from swarm.model.reference import parse_reference
from swarm.model.registries import parse_rules
from swarm.runtime.base import ContainerConfig
from swarm.runtime.images.archive import stage
from swarm.runtime.images.archive_images import find_images
from swarm.runtime.images.history import history
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.manifest import (
    Index,
    Manifest,
    check_runnable,
    check_served,
    choose_manifest,
    parse_configuration,
    parse_index,
    parse_manifest,
    render_index,
    render_manifest,
)
from swarm.runtime.images.platforms import ImagePlatform
from swarm.runtime.images.registry_auth import parse_challenges
from swarm.runtime.images.registry_tags import next_query, parse_tags
from swarm.runtime.images.tarheaders import BadArchive
from swarm.runtime.images.tarreader import TarReader
from swarm.runtime.images.tarstream import InflatedReader
from swarm.runtime.logs import _Cursor, _records_backward, format_record, parse_record
from swarm.runtime.oci.spec import Surroundings, build_spec
from swarm.runtime.oci.users import resolve_user
from swarm.runtime.volumes.plugins import VolumePlugin
from tests.unit.hostile.archives import layout, one, saved
from tests.unit.hostile.documents import GOOD, configured
from tests.unit.hostile.layers import ODD
from tests.unit.images.building import as_json, index

SMALL = Limits(
    unpacked_bytes_max=1 << 20, archive_bytes_max=1 << 20, expansion_free_bytes=1 << 20, entries_max=1000
)
_SAID = 2000  # characters of an error


@contextlib.contextmanager
def refusing(*errors: type[Exception]):
    """Let errors pass that are meant, as long as people can read them."""
    try:
        yield
    except errors as error:
        said = str(error)
        assert len(said) < _SAID, said[:200]
        assert said.isprintable(), ascii(said)


def manifest(data: bytes) -> None:
    with refusing(InvalidArgument):
        check_served(data, "application/vnd.oci.image.manifest.v1+json")
    with refusing(InvalidArgument):
        found = parse_manifest(data, 250)
        if isinstance(found, Manifest):
            again = parse_manifest(render_manifest(found.config, found.layers), 250)
            assert isinstance(again, Manifest)
            assert [one.digest for one in again.layers] == [one.digest for one in found.layers]
            check_runnable(found, ImagePlatform("linux", "amd64"))
            return
        again = parse_manifest(render_index(found.manifests), 250)
        assert isinstance(again, Index)
        assert [one.digest for one in again.manifests] == [one.digest for one in found.manifests]
        choose_manifest(found, ImagePlatform("linux", "arm", "v7"))


def image_index(data: bytes) -> None:
    with refusing(InvalidArgument):
        choose_manifest(parse_index(data), ImagePlatform("linux", "amd64"))


def configuration(data: bytes) -> None:
    """A configuration, and the specification of a container made of it."""
    with refusing(InvalidArgument):
        history(_MANIFEST, data)
    with refusing(InvalidArgument, TaskRejected):
        image = parse_configuration(data, "").image
        user = resolve_user(image.user, data.decode("utf-8", "replace"), data.decode("utf-8", "replace"))
        config = ContainerConfig(id="a" * 25, image="x", image_digest="")
        spec = build_spec(config, image, Surroundings(Path("/r"), "/c", user))
        text = json.dumps(spec, ensure_ascii=False).encode()  # what the runtime reads
        assert b"\\u0000" not in text
        assert spec["process"]["cwd"].startswith("/")
        assert 0 <= spec["process"]["user"]["uid"] < 2**32


def users(data: bytes) -> None:
    wanted, _, rest = data.decode("utf-8", "replace").partition("\n")
    passwd, _, group = rest.partition("\0")
    with refusing(TaskRejected):
        user = resolve_user(wanted, passwd, group)
        assert all(0 <= one < 2**32 for one in (user.uid, user.gid, *user.additional_gids))


def reference(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    with refusing(InvalidArgument):
        found = parse_reference(text)
        assert parse_reference(str(found)) == found
        assert parse_reference(found.familiar) == found
        assert ".." not in found.repository.split("/")
        assert str(found).isascii()
    with refusing(InvalidArgument):
        parse_rules([text], [])
    with refusing(InvalidArgument):
        parse_rules([], [text]).is_blocked("registry.example.com:5000")


def tar_stream(data: bytes) -> None:
    """A layer, as the process that unpacks reads it."""
    with refusing(BadArchive):
        tar = TarReader(InflatedReader(io.BufferedReader(io.BytesIO(data)), lambda: 1 << 22))
        for _ in range(2000):
            entry = tar.next()
            if entry is None:
                return
            assert entry.size >= 0
            assert "\0" not in entry.name + entry.linkname
            at = 0
            for offset, piece in tar.pieces():
                assert at <= offset
                at = offset + len(piece)
            assert at <= entry.size or not entry.isreg()


def image_archive(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, refusing(InvalidArgument):
        reader = InflatedReader(io.BufferedReader(io.BytesIO(data)), lambda: 1 << 22)
        contents = stage(reader, data[:512], Path(folder), SMALL)
        for found in find_images(contents, "given:1", SMALL).images:
            assert parse_reference(found.reference)


def log_file(data: bytes) -> None:
    """The log of a container, which may be cut and changed anywhere."""
    forward = [found for found in map(parse_record, data.split(b"\n")[:-1]) if found is not None]
    for found in forward:
        again = format_record(found.timestamp_ns, found.stream, found.data, partial=found.partial)
        assert parse_record(again.removesuffix(b"\n")) == found
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with Path(file.name).open("rb") as opened:
            assert list(_records_backward(_Cursor(opened))) == forward[::-1]
        with Path(file.name).open("rb") as opened:
            cursor, read = _Cursor(opened), []
            while not cursor.at_end:
                read += cursor.read()
            assert read == forward


def docker_config(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, refusing(InvalidArgument):
        path = Path(folder) / "config.json"
        path.write_bytes(data)
        config = DockerConfig(path)
        for registry in ("docker.io", "registry.example.com:5000"):
            if config.helper(registry) is None:
                config.find(registry)
                config.remove(registry)
        assert stat.S_ISREG(path.stat().st_mode)


def challenges(data: bytes) -> None:
    for found in parse_challenges([data.decode("latin-1")]):
        assert found.scheme in ("basic", "bearer")


def tags(data: bytes) -> None:
    """What a registry lists, and where it says that there is more."""
    with refusing(InvalidArgument):
        for tag in parse_tags(data, "registry.example.com/web"):
            assert parse_reference(f"registry.example.com/web:{tag}").tag == tag
    with refusing(Unavailable):
        query = next_query(data.decode("latin-1"), "registry.example.com/web")
        assert httpx.URL(f"https://registry.example.com/v2/web/tags/list?{query}").path.endswith("/list")


def volume_plugin(data: bytes) -> None:
    """What a volume plugin answers."""
    plugin = VolumePlugin("p", Path("/nowhere"))
    with mock.patch.object(VolumePlugin, "_post", return_value=(200, data)):
        for call in (plugin.check, lambda: plugin.ensure("v", {}), lambda: plugin.mount("v", "u")):
            with contextlib.suppress(SwarmError):
                call()


_MANIFEST = parse_manifest(GOOD.manifest, 250)
assert isinstance(_MANIFEST, Manifest)
_CONFIGS = [
    configured("", settings).content.blobs
    for settings in (
        {"Env": ["A=1"], "User": "1000:1000", "WorkingDir": "/a", "Cmd": ["sh"], "Entrypoint": ["x"]},
        {"ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}}, "Healthcheck": {"Test": ["NONE"]}},
    )
]
_LAYERS = [odd.pack(odd.content) for odd in ODD.values() if len(odd.content) < 20_000]

TARGETS: Mapping[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "manifest": (manifest, [GOOD.manifest, index({"amd64": GOOD, "arm": GOOD}).manifest]),
    "index": (image_index, [index({"amd64": GOOD}).manifest, GOOD.layout({"a": "b"})["index.json"]]),
    "configuration": (
        configuration,
        [blob for blobs in _CONFIGS for blob in blobs.values() if blob.startswith(b'{"os"')],
    ),
    "users": (users, [b"web:staff\nweb:x:12:34::/home:/bin/sh\n\0staff:x:7:web\n", b"007:9\n"]),
    "reference": (
        reference,
        [b"web", b"docker.io=a:5000/b", b"*.example.com", b"registry:5000/a/b_c:1@sha256:" + b"a" * 64],
    ),
    "tar": (tar_stream, _LAYERS),
    "archive": (
        image_archive,
        [layout(), saved(one()), saved(as_json(one(RepoTags=None)).replace(b" ", b""))],
    ),
    "logs": (
        log_file,
        [format_record(10**18 + n, "stdout", b"line \xff", partial=n % 2 == 0) * 3 for n in range(3)],
    ),
    "docker-config": (
        docker_config,
        [
            as_json({"auths": {"registry.example.com:5000": {"auth": base64.b64encode(b"a:b").decode()}}}),
            as_json({"auths": {"https://index.docker.io/v1/": {"identitytoken": "x"}}, "credsStore": ""}),
        ],
    ),
    "challenges": (challenges, [b'Bearer realm="https://a/b",service="c",scope="x:y:z", Basic realm="q"']),
    "tags": (tags, [b'{"name":"web","tags":["1","2.0-rc"]}', b"/v2/web/tags/list?n=2&last=b"]),
    "volume-plugin": (
        volume_plugin,
        [b'{"Implements":["VolumeDriver"]}', b'{"Mountpoint":"/m","Err":""}', b'{"Err":"no"}'],
    ),
}
