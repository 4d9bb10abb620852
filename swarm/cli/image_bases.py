"""Base images that the cluster has, for a builder that has not: `FROM` means what `image ls` shows."""

import subprocess
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli.connect import Connection
from swarm.cli.dockerfile import base_images
from swarm.errors import InvalidArgument, SwarmError


def wanted_bases(dockerfile: str, options: Sequence[str]) -> list[str]:
    """Return the names in full of base images that are to come from the cluster, if it has them.

    None when the registries are to be asked (`--pull`), or for a platform that the cluster may not have.
    """
    from swarm.model.reference import parse_reference

    if {"--pull", "--platform"} & set(options):
        return []
    given = dict(value.partition("=")[::2] for option, value in pairwise(options) if option == "--build-arg")
    found = []
    for name in base_images(dockerfile, given):
        try:
            reference = parse_reference(name)
        except InvalidArgument:  # the builder says so better
            continue
        if not reference.digest:
            found.append(str(reference))
    return list(dict.fromkeys(found))


def bring_bases(conn: Connection, builder: str, names: Sequence[str], *, quiet: bool) -> None:
    """Give the builder those of the images that the cluster has and it has not, or has otherwise.

    What cannot be brought is told, and left to the builder, which asks the registry.
    """
    if not names:
        return
    there = {
        one.annotations.name: one.digest for one in conn.control.ListImages(c.ListImagesRequest()).images
    }
    for name in names:
        if name not in there or there[name] in _digests_there(builder, name):
            continue
        if not quiet:
            click.echo(f"Taking {name} from the cluster", err=True)
        with tempfile.TemporaryDirectory(prefix="swarmctl-base-") as folder:
            archive = Path(folder, "image.tar")
            try:
                with archive.open("wb") as file:
                    for part in conn.control.SaveImages(c.SaveImagesRequest(refs=[name]), timeout=None):
                        file.write(part.chunk)
                _take(builder, archive)
            except (SwarmError, OSError, subprocess.CalledProcessError) as error:
                click.echo(f"Warning: {name} cannot be taken from the cluster: {_reason(error)}", err=True)


def _digests_there(builder: str, name: str) -> str:
    """Return what a builder says of an image that it has under this name, its digest among that."""
    command = (
        ["buildah", "images", "--format", "{{.Digest}}", name]
        if builder == "buildah"
        else ["docker", "image", "inspect", "--format", "{{.Id}} {{.RepoDigests}}", name]
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def _take(builder: str, archive: Path) -> None:
    command = (
        ["buildah", "pull", "--quiet", f"oci-archive:{archive}"]
        if builder == "buildah"
        else ["docker", "load", "--quiet", "--input", str(archive)]
    )
    subprocess.run(command, capture_output=True, text=True, check=True)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return str(error.stderr).strip()
    return str(error)
