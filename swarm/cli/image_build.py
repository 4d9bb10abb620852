"""`swarmctl image build`: a builder on this machine makes the image, the cluster gets it."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Image
from swarm.cli.connect import Connection, connect
from swarm.errors import FailedPrecondition, InvalidArgument

_ASK_DOCKER_S = 20.0
_UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")
_REPEATED = {
    "build-arg": "build_args",
    "label": "labels",
    "add-host": "hosts",
    "secret": "secrets",
    "ssh": "agents",
}
HOW_TO_INSTALL = (
    "install buildah (apt-get install buildah, dnf install buildah) or start Docker here; or build "
    "elsewhere and bring the archive with `swarmctl image load`"
)


@dataclass(frozen=True, slots=True)
class Build:
    """What to build: names in full, and the options that both builders understand."""

    names: Sequence[str]
    options: Sequence[str]
    context: str


def build_options(given: Mapping[str, object]) -> list[str]:
    """Return the options of `swarmctl image build` as builders take them."""
    found: list[str] = []
    for option in ("file", "target", "platform"):
        if value := given[option]:
            found += [f"--{option}", str(value)]
    if (network := given.get("network")) and network != "default":
        found += ["--network", str(network)]
    for option, key in _REPEATED.items():
        values = given.get(key)
        for value in values if isinstance(values, tuple) else ():
            found += [f"--{option}", str(value)]
    return [*found, *(["--no-cache"] if given["no_cache"] else []), *(["--pull"] if given["pull"] else [])]


def choose_builder(wanted: str, has: Callable[[str], bool], docker_runs: Callable[[], bool]) -> str:
    """Return `buildah` or `docker`; raises FailedPrecondition with the reason and what to install."""
    if wanted in ("auto", "buildah") and has("buildah"):
        return "buildah"
    if wanted == "buildah":
        raise FailedPrecondition(f"image build: buildah is not installed here; {HOW_TO_INSTALL}")
    docker = "its daemon does not run" if has("docker") else "it is not installed"
    if has("docker") and docker_runs():
        return "docker"
    if wanted == "docker":
        raise FailedPrecondition(f"image build: docker cannot be used here, {docker}; {HOW_TO_INSTALL}")
    raise FailedPrecondition(
        f"image build needs a builder on this machine: buildah is not installed, and docker cannot be used, "
        f"{docker}; {HOW_TO_INSTALL}"
    )


def buildah_environment(environment: Mapping[str, str], *, unified: bool, has_runc: bool) -> dict[str, str]:
    """Return the environment for buildah: what the user says, else a runtime that works on this machine."""
    chosen = {"BUILDAH_ISOLATION", "BUILDAH_RUNTIME"} & environment.keys()
    # crun, which it would take, refuses a machine with both versions of cgroups.
    if chosen or unified or not has_runc:
        return dict(environment)
    return {**environment, "BUILDAH_RUNTIME": "runc"}


@click.command(
    epilog="\b\nExamples:\n  swarmctl image build -t web:1 .\n"
    "  swarmctl image build -t registry.example.com/shop/web:2 -f deploy/Dockerfile "
    "--build-arg VERSION=2 --target prod .\n\n"
    "The builder runs on the machine where swarmctl runs, with the rights of whoever runs it, and keeps its "
    "own cache. Base images come from the cluster when it has them, unless --pull or --platform is given; "
    "else from registries, which are asked with the credentials of `swarmctl login`."
)
@click.argument("context", metavar="PATH|URL|-")
@click.option("-t", "--tag", "tags", multiple=True, required=True, help="Name of the image; repeatable.")
@click.option("-f", "--file", default="", help="Dockerfile; default: PATH/Dockerfile.")
@click.option("--build-arg", "build_args", multiple=True, metavar="KEY=VALUE", help="For ARG; repeatable.")
@click.option(
    "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of the image; repeatable."
)
@click.option("--add-host", "hosts", multiple=True, metavar="NAME:ADDRESS", help="For RUN; repeatable.")
@click.option("--network", default="", help="For RUN: default, none or host.")
@click.option(
    "--secret", "secrets", multiple=True, metavar="id=NAME,src=FILE", help="For RUN --mount; repeatable."
)
@click.option("--ssh", "agents", multiple=True, metavar="default|NAME[=SOCKET|KEY]", help="As --secret.")
@click.option("--iidfile", type=click.Path(dir_okay=False, path_type=Path), help="File for the image's id.")
@click.option("--target", default="", help="Stage to stop at.")
@click.option("--platform", default="", help="linux/ARCHITECTURE to build for.")
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option("--pull", is_flag=True, help="Look for newer base images.")
@click.option(
    "--builder",
    type=click.Choice(["auto", "buildah", "docker"]),
    default="auto",
    show_default=True,
    help="auto: buildah, else docker when its daemon runs.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print the reference only, and what went wrong.")
@click.pass_obj
def build(
    host: str,
    /,
    context: str,
    tags: tuple[str, ...],
    builder: str,
    iidfile: Path | None,
    *,
    quiet: bool,
    **given: object,
) -> None:
    """Build an image from a Dockerfile here, and give it to the cluster."""
    check_context(context)
    given["file"] = _dockerfile(str(given["file"]), context)
    wanted = Build(full_names(tags), build_options(given), context)
    # Connected first: nobody wants to hear after ten minutes that there is no cluster.
    with connect(host) as conn:
        conn.control.ListImages(c.ListImagesRequest())
        made = give(conn, wanted, builder, quiet=quiet)
    if iidfile is not None:
        _write_id(iidfile, made.digest)
    for name in wanted.names:
        click.echo(name if quiet else f"Built image: {name}")


def _write_id(path: Path, digest: str) -> None:
    try:
        path.write_text(digest)
    except OSError as error:
        raise FailedPrecondition(
            f"the image is built, but --iidfile {path} cannot be written: {error.strerror}"
        ) from None


def give(conn: Connection, wanted: Build, builder: str, *, quiet: bool) -> Image:
    """Build an image, give it to the cluster and return it.

    Raises FailedPrecondition when it cannot be built here.
    """
    chosen = choose_builder(builder, lambda name: shutil.which(name) is not None, _docker_runs)
    from swarm.cli.image_bases import bring_bases, wanted_bases

    bring_bases(conn, chosen, wanted_bases(_text_of(wanted) or "", wanted.options), quiet=quiet)
    make = _with_buildah if chosen == "buildah" else _with_docker
    with make(wanted, quiet) as archive:
        loaded = conn.control.LoadImage(chunks_of(archive, wanted.names[0]), timeout=None)
    for name in wanted.names[1:]:
        conn.control.TagImage(c.TagImageRequest(source=wanted.names[0], target=name))
    made: Image = loaded.images[0]
    return made


def full_names(tags: Sequence[str]) -> list[str]:
    """Return the names of an image in full, each once; raises InvalidArgument for one with a digest."""
    from swarm.model.reference import parse_reference

    parsed = [parse_reference(tag) for tag in tags]
    for name in parsed:
        if name.digest:
            raise InvalidArgument(f"{name} cannot be the name of a built image: it contains a digest")
    return list(dict.fromkeys(map(str, parsed)))


def check_context(context: str) -> None:
    """Raise InvalidArgument when there is nothing to build from."""
    if _is_folder(context) and not Path(context).is_dir():
        raise InvalidArgument(f"{context} is not a folder: name the folder to build from, a URL, or -")


def _is_folder(context: str) -> bool:
    return context != "-" and "://" not in context and not context.startswith("git@")


def _dockerfile(file: str, context: str) -> str:
    """Return where the Dockerfile is: in the context of a URL, else from where we are, for every builder."""
    if not file or file == "-" or not _is_folder(context):
        return file
    if not Path(file).is_file():
        raise InvalidArgument(f"there is no Dockerfile {file}")
    return str(Path(file).resolve())


def _docker_runs() -> bool:
    try:
        done = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=_ASK_DOCKER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextmanager
def _with_buildah(wanted: Build, quiet: bool) -> Iterator[BinaryIO]:
    """Build, and yield the image as an archive."""
    environment = buildah_environment(
        os.environ, unified=_UNIFIED.exists(), has_runc=shutil.which("runc") is not None
    )
    with tempfile.TemporaryDirectory(prefix="swarmctl-build-") as folder:
        iid, archive = Path(folder, "iid"), Path(folder, "image.tar")
        names = [part for name in wanted.names for part in ("-t", name)]
        _run(
            [
                "buildah",
                "bud",
                *_caching(wanted),
                "--force-rm",
                "--iidfile",
                str(iid),
                *names,
                *wanted.options,
                wanted.context,
            ],
            quiet,
            environment,
        )
        target = f"oci-archive:{archive}:{wanted.names[0]}"
        _run(["buildah", "push", "--quiet", iid.read_text().strip(), target], True, environment)
        with archive.open("rb") as file:
            yield file


def _caching(wanted: Build) -> list[str]:
    """Return whether steps of builds before may be taken; not where those are of other arguments."""
    from swarm.cli.dockerfile import is_believed_wrongly

    if "--build-arg" not in wanted.options:
        return ["--layers"]
    text = _text_of(wanted)
    return ["--layers", *(["--no-cache"] if text is None or is_believed_wrongly(text) else [])]


def _text_of(wanted: Build) -> str | None:
    """Return the Dockerfile; None for that of a URL, or in standard input."""
    options = list(wanted.options)
    file = options[options.index("--file") + 1] if "--file" in options else ""
    try:
        return Path(file or Path(wanted.context, "Dockerfile")).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


@contextmanager
def _with_docker(wanted: Build, quiet: bool) -> Iterator[BinaryIO]:
    """Build, and yield the image as docker saves it."""
    names = [part for name in wanted.names for part in ("-t", name)]
    _run(["docker", "build", *names, *wanted.options, wanted.context], quiet, os.environ)
    with subprocess.Popen(["docker", "save", wanted.names[0]], stdout=subprocess.PIPE) as saving:
        try:
            yield cast("BinaryIO", saving.stdout)
        except BaseException:
            saving.kill()
            raise
        if saving.wait() != 0:
            raise FailedPrecondition(f"docker save ended with exit code {saving.returncode}")


def _run(command: Sequence[str], quiet: bool, environment: Mapping[str, str]) -> None:
    """Run a builder, whose words go to standard error; raises FailedPrecondition when it fails."""
    with contextlib.ExitStack() as stack:
        # Words that nobody wants to read are kept for the case that it fails.
        output = stack.enter_context(tempfile.TemporaryFile()) if quiet else None
        try:
            done = subprocess.run(
                command, stdout=output or 2, stderr=output or 2, env=dict(environment), check=False
            )
        except OSError as error:
            raise FailedPrecondition(f"{command[0]} cannot be run: {error.strerror}") from None
        if done.returncode == 0:
            return
        if output is not None:
            output.seek(0)
            click.echo(output.read().decode(errors="replace").rstrip(), err=True)
    raise FailedPrecondition(
        f"image build: {command[0]} {command[1]} ended with exit code {done.returncode}: see above"
    )


def chunks_of(archive: IO[bytes], name: str) -> Iterator[c.LoadImageRequest]:
    """Yield an archive in the pieces that a manager takes."""
    while chunk := archive.read(1 << 20):
        yield c.LoadImageRequest(chunk=chunk, reference=name)
