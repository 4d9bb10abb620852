"""Manifests, indexes and configurations that must be refused, each with what is said of it, and odd ones."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from swarm.runtime.images.manifest import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.unit.images.building import CONFIG, LAYER, MANIFEST, Content, as_json, digest, image, index, tar

GOOD = image(tar({"a": b"1"}))
ABSENT = "sha256:" + "a" * 64
_LAYER = tar({"a": b"1"})


@dataclass(frozen=True)
class Document:
    """The document on top, what comes with it, and what is said."""

    top: bytes
    said: str
    blobs: dict[str, bytes] = field(default_factory=dict)

    @property
    def content(self) -> Content:
        return Content(digest(self.top), {**GOOD.blobs, **self.blobs, digest(self.top): self.top})


def descriptor(content: bytes = _LAYER, **changed: object) -> dict[str, object]:
    return {"mediaType": LAYER, "digest": digest(content), "size": len(content), **changed}


def manifest(**changed: object) -> bytes:
    """The manifest of GOOD with some keys changed; None leaves one out."""
    document = {**json.loads(GOOD.manifest), **changed}
    return as_json({key: value for key, value in document.items() if value is not None})


def entry(top: bytes = GOOD.manifest, **changed: object) -> dict[str, object]:
    return {"mediaType": MANIFEST, "digest": digest(top), "size": len(top), **changed}


def listing(*entries: object, **changed: object) -> bytes:
    return as_json({"schemaVersion": 2, "manifests": list(entries), **changed})


def configured(said: str, settings: object = None, **changed: object) -> Document:
    """An image of which the configuration is bad."""
    document = {
        "os": "linux",
        "architecture": "amd64",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [digest(_LAYER)]},
        **changed,
    }
    return with_configuration(said, as_json(document))


def with_configuration(said: str, content: bytes, size: int | None = None) -> Document:
    config = descriptor(content, mediaType=CONFIG, **({} if size is None else {"size": size}))
    return Document(manifest(config=config), said, {digest(content): content})


def nested() -> Document:
    inner = listing(entry())
    return Document(listing(entry(inner)), "index of indexes", {digest(inner): inner})


def circle() -> Document:
    """Two indexes that name each other cannot be made: a digest would have to contain itself."""
    a, b = listing(entry(digest=ABSENT)), listing(entry(digest=ABSENT), annotations={"x": "y"})
    top = listing(entry(a), entry(b))
    return Document(top, "only for nothing that runs", {digest(a): a, digest(b): b})


DOCUMENTS: dict[str, Document] = {
    # JSON.
    "nothing": Document(b"", "the manifest is not JSON"),
    "text": Document(b"<html>not found</html>", "the manifest is not JSON"),
    "a list": Document(b"[]", "not a JSON object"),
    "a number": Document(b"7", "not a JSON object"),
    "a number without end": Document(
        b'{"schemaVersion":' + b"9" * 100_000 + b"}", "the manifest is not JSON"
    ),
    "no number": Document(manifest(size=float("nan")), "NaN is no number"),
    "lists in lists": Document(b"[" * 200_000, "nested too deeply"),
    "objects in objects": Document(b'{"a":' * 100_000, "nested too deeply"),
    "another encoding": Document(GOOD.manifest.decode().encode("utf-16"), "the manifest is not JSON"),
    "a mark before it": Document(b"\xef\xbb\xbf" + GOOD.manifest, "the manifest is not JSON"),
    "bytes that are no text": Document(b'{"schemaVersion":2,"x":"\xff"}', "the manifest is not JSON"),
    "something after it": Document(GOOD.manifest + b"{}", "the manifest is not JSON"),
    "cut": Document(GOOD.manifest[:-20], "the manifest is not JSON"),
    "a key twice": Document(GOOD.manifest[:-1] + b',"layers":[]}', "says 'layers' twice"),
    "a key twice below": Document(
        GOOD.manifest.replace(b'"size"', b'"size":1,"size"', 1), "says 'size' twice"
    ),
    "more than a document may be": Document(
        b'{"schemaVersion":2,"x":"' + b"x" * 4_200_000 + b'"}', "is longer than 4194304 bytes"
    ),
    # What it is.
    "no version": Document(manifest(schemaVersion=None), "not a manifest of schema version 2"),
    "version 1": Document(as_json({"schemaVersion": 1, "fsLayers": []}), "schema version 2"),
    "a version of words": Document(manifest(schemaVersion="2"), "schema version 2"),
    "manifest and index at once": Document(manifest(manifests=[entry()]), "it could mean two things"),
    "index with a configuration": Document(
        listing(entry(), config=descriptor()), "it could mean two things"
    ),
    "manifest that calls itself an index": Document(manifest(mediaType=OCI_INDEX), "is said to be"),
    "manifest that calls itself a list": Document(manifest(mediaType=DOCKER_INDEX), "is said to be"),
    "index that calls itself a manifest": Document(
        listing(entry(), mediaType=OCI_MANIFEST), "is said to be"
    ),
    "index that calls itself Docker's manifest": Document(
        listing(entry(), mediaType=DOCKER_MANIFEST), "is said to be"
    ),
    "an unknown type": Document(manifest(mediaType="application/x-tar\x1b[2J"), "no known type of image"),
    "a type that is no text": Document(manifest(mediaType=["x"]), "`mediaType` is not a string"),
    "no configuration": Document(manifest(config=None), "names no configuration and layers"),
    "no layers": Document(manifest(layers=None), "names no configuration and layers"),
    "layers that are an object": Document(manifest(layers={}), "names no configuration and layers"),
    "a chart for Kubernetes": with_configuration("rootfs.diff_ids", b'{"name":"chart","version":"1"}'),
    # Descriptors.
    "a million layers": Document(
        as_json({**json.loads(GOOD.manifest), "layers": [0] * 1_000_000}), "has 1000000 layers"
    ),
    "more layers than can be mounted": Document(manifest(layers=[descriptor()] * 300), "has 300 layers"),
    "a layer that is a number": Document(manifest(layers=[7]), "a descriptor is not a JSON object"),
    "a layer without a digest": Document(manifest(layers=[{"size": 1}]), "None is not a sha256 digest"),
    "a digest that is a path": Document(
        manifest(layers=[descriptor(digest="sha256:../../../outside/canary")]), "is not a sha256 digest"
    ),
    "a digest in capitals": Document(manifest(layers=[descriptor(digest=ABSENT.upper())]), "not a sha256"),
    "a weak digest": Document(
        manifest(layers=[descriptor(digest="md5:" + "a" * 32)]), "not a sha256 digest"
    ),
    "a digest with more behind": Document(
        manifest(layers=[descriptor(digest=digest(_LAYER) + "\n")]), "is not a sha256 digest"
    ),
    "a digest of megabytes": Document(
        manifest(layers=[descriptor(digest="sha256:" + "a" * 1_000_000)]), "is not a sha256 digest"
    ),
    "a digest that is a list": Document(
        manifest(layers=[descriptor(digest=[[]])]), "a list is not a sha256"
    ),
    "a size below zero": Document(manifest(layers=[descriptor(size=-1)]), "a descriptor has the size -1"),
    "a size that is true": Document(manifest(layers=[descriptor(size=True)]), "has the size True"),
    "a size with a fraction": Document(manifest(layers=[descriptor(size=1.5)]), "has the size 1.5"),
    "a size that is a text": Document(manifest(layers=[descriptor(size="1")]), "has the size '1'"),
    "a size that no file has": Document(manifest(layers=[descriptor(size=2**64)]), "has the size 1844"),
    "a size of many digits": Document(manifest(layers=[descriptor(size=10**4000)]), "has the size 1000"),
    "a layer larger than any": Document(
        manifest(layers=[descriptor(digest=ABSENT, size=2**62)]), "limit is"
    ),
    "a layer smaller than it is": Document(manifest(layers=[descriptor(size=10)]), "longer than 10 bytes"),
    "a layer larger than it is": Document(
        manifest(layers=[descriptor(size=len(_LAYER) + 1)]), f"has {len(_LAYER)} bytes instead of"
    ),
    "a layer of no size": Document(manifest(layers=[descriptor(size=0)]), "longer than 0 bytes"),
    "a layer that nobody has": Document(manifest(layers=[descriptor(digest=ABSENT)]), "no blob sha256:aaaa"),
    "a layer that only its urls have": Document(
        manifest(layers=[descriptor(digest=ABSENT, urls=["http://127.0.0.1:1/x", "file:///etc/passwd"])]),
        "no blob sha256:aaaa",
    ),
    "an encrypted layer": Document(
        manifest(layers=[descriptor(mediaType=f"{LAYER}+gzip+encrypted")]), "is of the unknown type"
    ),
    "a layer that is a program": Document(
        manifest(layers=[descriptor(mediaType="application/vnd.wasm.content.layer.v1+wasm")]), "unknown type"
    ),
    "annotations that are no text": Document(
        manifest(layers=[descriptor(annotations={"a": {"b": 1}})]), "`a` is not a string"
    ),
    "a platform that is no text": Document(
        listing(entry(platform={"os": 7, "architecture": "amd64"})), "`os` is not a string"
    ),
    "more layers than the configuration says": Document(
        manifest(layers=[descriptor()] * 2), "has 2 layers but names 1"
    ),
    "fewer layers than the configuration says": Document(manifest(layers=[]), "has 0 layers but names 1"),
    "another layer under the digest": Document(
        manifest(), "damaged or forged", {digest(_LAYER): b"x" * len(_LAYER)}
    ),
    # Indexes.
    "an empty index": Document(listing(), "only for nothing that runs"),
    "an index of words": Document(listing("x"), "a descriptor is not a JSON object"),
    "an index that is an object": Document(
        as_json({"schemaVersion": 2, "manifests": {}}), "lists no manifests"
    ),
    "an index of thousands": Document(listing(*[entry()] * 2000), "lists 2000 manifests"),
    "an index for other machines": Document(
        index({"s390x": GOOD, "mips\x1b[1m\n": GOOD}).manifest, "no image for linux/"
    ),
    "an index for another system": Document(
        listing(entry(platform={"os": "windows", "architecture": "amd64"})), "only for windows/amd64"
    ),
    "an index without its manifest": Document(listing(entry(digest=ABSENT)), "no blob sha256:aaaa"),
    "an index of indexes": nested(),
    "indexes in a circle": circle(),
    "an index of a layer": Document(listing(entry(_LAYER)), "the manifest is not JSON"),
    # Configurations.
    "a configuration that is a layer": Document(manifest(config=descriptor()), "configuration is not JSON"),
    "a configuration that is the manifest": with_configuration("lists no layers", GOOD.manifest),
    "a configuration of gigabytes": with_configuration("is to have 9000000000 bytes", b"{}", size=9 * 10**9),
    "a configuration without layers": with_configuration("rootfs.diff_ids", b'{"rootfs":{}}'),
    "a configuration that says a key twice": with_configuration(
        "the configuration says 'rootfs' twice", b'{"rootfs":{},"rootfs":{"diff_ids":[]}}'
    ),
    "diff ids that are paths": configured("is not a sha256 digest", rootfs={"diff_ids": ["../../x"]}),
    "settings that are a list": configured("`config` is not an object", ["sh"]),
    "another system": configured("the image is for windows/amd64", None, os="windows"),
    "a system that is a number": configured("`os` is not a string", None, os=7),
    "a command that is a text": configured("`Cmd` is not a list", {"Cmd": "rm -rf /"}),
    "a command with a zero byte": configured("`Cmd` has a zero byte", {"Cmd": ["a\0b"]}),
    "an entry point of numbers": configured("`Entrypoint` is not a list of strings", {"Entrypoint": [1]}),
    "an entry point with half a character": with_configuration(
        "half a character",
        b'{"config":{"Entrypoint":["\\ud800"]},"rootfs":{"diff_ids":["%s"]}}' % digest(_LAYER).encode(),
    ),
    "an environment that is an object": configured("`Env` is not a list", {"Env": {"A": "1"}}),
    "a variable without a value": configured("not NAME=VALUE", {"Env": ["LD_PRELOAD"]}),
    "a variable without a name": configured("not NAME=VALUE", {"Env": ["=1"]}),
    "a variable with a zero byte": configured("`Env` has a zero byte", {"Env": ["A=1\0B=2"]}),
    "a user that is a number": configured("`User` is not a string", {"User": 0}),
    "a user that is a path": configured("is not USER or USER:GROUP", {"User": "../../etc/passwd"}),
    "a user of three parts": configured("is not USER or USER:GROUP", {"User": "a:b:c"}),
    "a user on two lines": configured("is not USER or USER:GROUP", {"User": "a\nroot:x:0:0"}),
    "a working directory upwards": configured(
        "where no image may want to be", {"WorkingDir": "/a/../../.."}
    ),
    "a working directory of a program": configured("no image may want", {"WorkingDir": "/proc/self/fd/8"}),
    "a working directory that is a list": configured("`WorkingDir` is not a string", {"WorkingDir": []}),
    "a port that is a word": configured("not PORT/PROTOCOL", {"ExposedPorts": {"http": {}}}),
    "a port that there is not": configured("not PORT/PROTOCOL", {"ExposedPorts": {"70000/tcp": {}}}),
    "a port of another protocol": configured("not PORT/PROTOCOL", {"ExposedPorts": {"80/../x": {}}}),
    "ports that are a list": configured("`ExposedPorts` is not an object", {"ExposedPorts": ["80/tcp"]}),
    "a volume upwards": configured("no place in a container", {"Volumes": {"/data/../../etc": {}}}),
    "a volume with a zero byte": configured("no place in a container", {"Volumes": {"/a\0": {}}}),
    "volumes that are a list": configured("`Volumes` is not an object", {"Volumes": ["/data"]}),
    "labels that are numbers": configured("`Labels` has a value", {"Labels": {"a": 1}}),
    "a stop signal that is a number": configured("`StopSignal` is not a string", {"StopSignal": 9}),
    "a health check that is a list": configured("`Healthcheck` is not an object", {"Healthcheck": []}),
    "a health check of eternity": configured(
        "`Interval` is not a number", {"Healthcheck": {"Interval": 2**63}}
    ),
}


def typed(media_type: str) -> Content:
    top = manifest(layers=[descriptor(mediaType=media_type)])
    return Content(digest(top), {**GOOD.blobs, digest(top): top})


def with_settings(settings: object) -> Content:
    return configured("", settings).content


ODD_DOCUMENTS: dict[str, Callable[[], Content]] = {
    "no types": lambda: typed(""),
    "a layer of Docker": lambda: typed("application/vnd.docker.image.rootfs.diff.tar.gzip"),
    "a layer in zstd": lambda: typed("application/vnd.oci.image.layer.v1.tar+zstd"),
    "a foreign layer that the registry has": lambda: typed(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    ),
    "attestations beside the image": lambda: index(
        {"amd64": GOOD, "arm64": GOOD, "unknown": image(tar({"x": b"1"}))}
    ),
    "one manifest without a platform": lambda: Content(
        digest(listing(entry())), {**GOOD.blobs, digest(listing(entry())): listing(entry())}
    ),
    "unknown keys": lambda: Document(manifest(subject=entry(), artifactType="x", more={}), "").content,
    "nulls": lambda: with_settings(
        {"Env": None, "Cmd": None, "Volumes": None, "ExposedPorts": None, "Labels": None, "User": None}
    ),
    "ports, volumes and users as builders write them": lambda: with_settings(
        {
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8000-8010": {}, "9000/TCP": {}},
            "Volumes": {"/data": {}, "/var/lib/a..b": {}, "relative": {}},
            "User": "1000:1000",
            "Env": ["PATH=/bin", "EMPTY=", "A=b=c"],
            "WorkingDir": "/processes",
            "Labels": {"a": "b"},
        }
    ),
}
