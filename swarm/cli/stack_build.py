"""Images of a stack that are built where swarmctl runs, and given to the cluster, before it is deployed."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli.connect import Connection
from swarm.cli.stack_changes import Step

if TYPE_CHECKING:
    from swarm.compose.build import Build


def build_option(command: Any) -> Any:
    """Add --build and --no-build."""
    return click.option(
        "--build/--no-build",
        "build",
        default=None,
        help="Build all images, or none (default: those that the cluster does not have).",
    )(command)


def build_images(conn: Connection, builds: Sequence["Build"], *, wanted: bool | None, quiet: bool) -> None:
    """Build what is to be built and give it to the cluster.

    With `wanted` everything, without one what the cluster does not have. Raises FailedPrecondition when
    there is no builder here, or it fails: nothing was deployed then.
    """
    from swarm.cli.image_build import Build as Wanted
    from swarm.cli.image_build import check_context, full_names, give

    for build in to_build(builds, _there(conn) if builds else frozenset(), wanted=wanted):
        check_context(build.context)
        if not quiet:
            click.echo(f"Building {build.image} for service {build.service}")
        with _with_dockerfile(build) as found:
            names = full_names((found.image, *found.tags))
            give(conn, Wanted(names, options(found), found.context), "auto", quiet=quiet)


def to_build(builds: Sequence["Build"], there: frozenset[str], *, wanted: bool | None) -> list["Build"]:
    """Return what is built, each image once; `there` are the names in full of what the cluster has."""
    from swarm.model.reference import parse_reference

    if wanted is False:
        return []
    found = {str(parse_reference(one.image)): one for one in reversed(builds)}
    names = dict.fromkeys(str(parse_reference(one.image)) for one in builds)
    return [found[name] for name in names if wanted or name not in there]


def as_if_built(conn: Connection, builds: Sequence["Build"], planned: Sequence[Step]) -> Sequence[Step]:
    """Return what is planned without asking anybody for images that a deploy would build; tell them."""
    wanted = to_build(builds, _there(conn) if builds else frozenset(), wanted=None)
    for build in wanted:
        click.echo(f"Note: {build.image} would be built", err=True)
    images = {build.image for build in wanted}
    for step in planned:
        kind = step.change.WhichOneof("change")
        if kind in {"create_service", "update_service"}:
            request = getattr(step.change, kind)
            if request.spec.task.container.image in images:
                request.skip_image_resolution = True
    return planned


def options(build: "Build") -> list[str]:
    """Return the options of a build as builders take them."""
    from swarm.cli.image_build import build_options

    return build_options(
        {
            "file": build.dockerfile,
            "target": build.target,
            "platform": build.platform,
            "build_args": build.arguments,
            "labels": build.labels,
            "no_cache": build.no_cache,
            "pull": build.pull,
        }
    )


def _there(conn: Connection) -> frozenset[str]:
    return frozenset(one.annotations.name for one in conn.control.ListImages(c.ListImagesRequest()).images)


@contextmanager
def _with_dockerfile(build: "Build") -> Iterator["Build"]:
    """Yield `build` with the path of its Dockerfile, also where its text stands in the Compose file."""
    if not build.inline:
        yield build
        return
    with tempfile.TemporaryDirectory(prefix="swarmctl-build-") as folder:
        path = Path(folder, "Dockerfile")
        path.write_text(build.inline)
        yield replace(build, dockerfile=str(path))
