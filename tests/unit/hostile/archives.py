"""Archives for `image load`: those that must be refused, each with what is said of it."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import zstandard

from swarm.runtime.images.limits import MIB, Limits
from tests.unit.hostile.documents import GOOD, configured, listing
from tests.unit.hostile.documents import entry as listed
from tests.unit.hostile.tars import (
    LONG_NAME,
    PAX,
    entry,
    folder,
    hard,
    header,
    layer,
    pax,
    record,
    soft,
    sparse_new,
)
from tests.unit.images.building import Content, as_json, digest, tar

SMALL = Limits(
    entries_max=50,
    archive_bytes_max=4 * MIB,
    expansion_free_bytes=MIB,
    expansion_max=10,
    images_per_archive_max=20,
)
NAMED = {"org.opencontainers.image.ref.name": "registry.invalid/web:1"}
_LAYER = tar({"a": b"1"})
_CONFIG = as_json({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(_LAYER)]}})


@dataclass(frozen=True)
class Archive:
    content: bytes
    said: str
    limits: Limits = field(default_factory=Limits)


def files(contents: Mapping[str, bytes]) -> bytes:
    return b"".join(entry(name, content=content) for name, content in contents.items())


def layout(content: Content = GOOD, *more: bytes, **changed: bytes) -> bytes:
    """An OCI layout; `changed` by the name of the file: index_json for index.json."""
    contents = content.layout(NAMED)
    contents |= {name.replace("_", "."): value for name, value in changed.items()}
    return layer(files(contents), *more)


def saved(manifest: object, *more: bytes, config: bytes = _CONFIG) -> bytes:
    """What an old `docker save` writes; `manifest` is manifest.json."""
    raw = manifest if isinstance(manifest, bytes) else as_json(manifest)
    return layer(files({"c.json": config, "l/layer.tar": _LAYER, "manifest.json": raw}), *more)


def one(**changed: object) -> list[dict[str, object]]:
    return [{"Config": "c.json", "RepoTags": ["web:1"], "Layers": ["l/layer.tar"], **changed}]


def indexed(**changed: object) -> bytes:
    return listing(listed(annotations=NAMED, **changed))


ARCHIVES: dict[str, Archive] = {
    # Layouts.
    "no index": Archive(layer(files({"oci-layout": b"{}"})), "without the index.json"),
    "an index that is no JSON": Archive(layout(index_json=b"<html>"), "the index is not JSON"),
    "an index of lists in lists": Archive(
        layout(index_json=b"[" * 100_000), "the index is nested too deeply"
    ),
    "an index that says a key twice": Archive(
        layout(index_json=b'{"manifests":[],"manifests":[]}'), "says 'manifests' twice"
    ),
    "an empty index": Archive(layout(index_json=listing()), "contains no image"),
    "an index of thousands": Archive(layout(index_json=listing(*[listed()] * 2000)), "lists 2000 manifests"),
    "an index larger than a document": Archive(layout(index_json=b" " * 5 * MIB), "larger than 4194304"),
    "an index that is a path": Archive(
        layout(index_json=indexed(digest="sha256:../../../outside/canary")), "is not a sha256 digest"
    ),
    "an index that is a link to the node": Archive(
        layer(soft("index.json", "/etc/passwd"), soft("oci-layout", "/etc/passwd")), "without the index.json"
    ),
    "a name that is a path": Archive(
        layout(index_json=listing(listed(annotations={"io.containerd.image.name": "../../etc/x"}))),
        "invalid image reference",
    ),
    "a name with a command for terminals": Archive(
        layout(
            index_json=listing(listed(annotations={"org.opencontainers.image.ref.name": "x:\x1b[2J\x07"}))
        ),
        "invalid image reference",
    ),
    "a name of megabytes": Archive(
        layout(index_json=listing(listed(annotations={"io.containerd.image.name": "x" * 10**6}))),
        "invalid image reference",
    ),
    "no name": Archive(layout(index_json=listing(listed())), "say how to call it"),
    "a blob with another digest": Archive(
        layout(GOOD, entry(f"blobs/sha256/{'a' * 64}", content=b"forged")), "damaged or forged"
    ),
    "a blob that is a link to the node": Archive(
        layer(
            files({"oci-layout": b"{}", "index.json": indexed()}),
            soft(f"blobs/sha256/{GOOD.top.removeprefix('sha256:')}", "/etc/passwd"),
        ),
        "the image is not complete",
    ),
    "a blob upwards": Archive(
        layer(
            files({"oci-layout": b"{}", "index.json": indexed()}),
            entry("../../outside/canary", content=b"hostile"),
        ),
        "the image is not complete",
    ),
    "a manifest that is not there": Archive(
        layer(files({"oci-layout": b"{}", "index.json": indexed()})), "the image is not complete"
    ),
    "a layer that is not there": Archive(
        layer(
            files(
                {
                    "oci-layout": b"{}",
                    "index.json": indexed(),
                    f"blobs/sha256/{GOOD.top.removeprefix('sha256:')}": GOOD.manifest,
                }
            )
        ),
        "is missing",
    ),
    "a configuration that no builder writes": Archive(
        layout(configured("", {"Env": ["X"]}).content), "not NAME=VALUE"
    ),
    "a configuration for other layers": Archive(
        layout(configured("", rootfs={"type": "layers", "diff_ids": []}).content), "1 layers but names 0"
    ),
    # `docker save`.
    "a manifest that is no list": Archive(saved({}), "is not a list of images"),
    "a manifest of words": Archive(saved(["x"]), "is not a list of images"),
    "a manifest of nothing": Archive(saved([]), "contains no image"),
    "a manifest that is no JSON": Archive(saved(b"\xff"), "the manifest.json is not JSON"),
    "a layer upwards": Archive(saved(one(Layers=["../../../outside/canary"])), "does not contain it"),
    "a layer of the node": Archive(saved(one(Layers=["/etc/passwd"])), "does not contain it"),
    "a layer that is a number": Archive(saved(one(Layers=[7])), "does not contain it"),
    "layers that are a text": Archive(saved(one(Layers="l/layer.tar")), "malformed Layers"),
    "a configuration of the node": Archive(saved(one(Config="/etc/passwd")), "does not contain it"),
    "no configuration": Archive(saved(one(Config=None)), "names None in manifest.json"),
    "a configuration that is a link to the node": Archive(
        saved(one(Config="d.json"), soft("d.json", "/etc/passwd")), "does not contain it"
    ),
    "links in a circle": Archive(
        saved(one(Layers=["x.tar"]), soft("x.tar", "y.tar"), hard("y.tar", "x.tar")), "does not contain it"
    ),
    "tags that are a text": Archive(saved(one(RepoTags="web:1")), "malformed RepoTags"),
    "a tag that is a number": Archive(saved(one(RepoTags=[1])), "malformed RepoTags"),
    "a tag that is a path": Archive(saved(one(RepoTags=["../x:1"])), "invalid image reference"),
    "a tag with a digest": Archive(saved(one(RepoTags=[f"web@{GOOD.top}"])), "it contains a digest"),
    "fewer layers than the configuration says": Archive(saved(one(Layers=[])), "has 0 layers where"),
    "more images than one archive may have": Archive(saved(one() * 30), "more than 20 images", SMALL),
    "a configuration with a volume upwards": Archive(
        saved(one(), config=as_json({**json.loads(_CONFIG), "config": {"Volumes": {"/a/../..": {}}}})),
        "no place in a container",
    ),
    # The tar itself.
    "nothing": Archive(b"", "found nothing at all"),
    "a page of a server": Archive(b"<html>" + b" " * 600, "not an image archive"),
    "files of any kind": Archive(layer(entry("a"), entry("b")), "without the index.json"),
    "names for terminals": Archive(layer(entry(b"\x1b[2J\xff")), "without the index.json"),
    "a gzip bomb": Archive(
        gzip.compress(layer(entry("x.tar", content=bytes(8 * MIB)))), "bytes when unpacked", SMALL
    ),
    "a zstd bomb": Archive(
        zstandard.compress(layer(entry("x.tar", content=bytes(8 * MIB)))), "bytes when unpacked", SMALL
    ),
    "more entries than an archive may have": Archive(
        layer(*[entry("x")] * 60), "more than 50 entries", SMALL
    ),
    "folders without end": Archive(layer(*[folder("x")] * 60), "more than 50 entries", SMALL),
    "an extended header of digits alone": Archive(
        layer(entry("pax", PAX, b"1" * MIB), entry("a")), "damaged extended header"
    ),
    "a header larger than memory": Archive(
        header(b"pax", PAX, size=8_000_000_000 - 1) + bytes(1024), "a header of 7999999999 bytes"
    ),
    "long names without end": Archive(layer(entry("l", LONG_NAME, b"n" * 900) * 2000), "a header of"),
    "extended headers without end": Archive(
        layer(*[pax(record(f"k{n}", "x" * 900)) for n in range(2000)]), "a header of"
    ),
    "a map of holes without end": Archive(
        layer(sparse_new(b"1000000000000\n" + b"0\n" * MIB, 512, b"")), "a header of"
    ),
    "a blob with holes": Archive(
        layer(sparse_new(b"1\n100\n512\n", 10**15, b"x" * 512, name="x.tar")), "is a sparse file"
    ),
    "a document with holes": Archive(
        layer(sparse_new(b"1\n100\n512\n", 10**6, b"x" * 512, name="index.json")), "is a sparse file"
    ),
    "cut within a blob": Archive(layout()[:-3000], "ends within"),
    "cut gzip": Archive(gzip.compress(layout())[:-100], "damaged gzip"),
}
