"""`swarmctl machine bundle`: this release in a file, for machines that another swarmctl installs it on."""

import platform
import re
import sys
from pathlib import Path

import click

from swarm.errors import InvalidArgument
from swarm.machine import bundle


@click.command(
    "bundle",
    epilog="\b\nExamples:\n  swarmctl machine bundle .\n"
    "  swarmctl machine bundle --python 3.12 --arch aarch64 --glibc 2.39 /srv/releases",
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--python",
    "python_version",
    default=f"{sys.version_info.major}.{sys.version_info.minor}",
    show_default=True,
    help="Python of the machines.",
)
@click.option("--arch", default=platform.machine(), show_default=True, help="Their processor (uname -m).")
@click.option("--glibc", default="2.31", show_default=True, help="The oldest C library among them.")
def bundle_(folder: Path, python_version: str, arch: str, glibc: str) -> None:
    """Write this release into a folder, as one file with all that a machine needs; print its path."""
    version = re.fullmatch(r"3\.(\d{1,3})", python_version)
    if version is None or int(version[1]) < 11:
        raise InvalidArgument(f"--python {python_version}: write 3.11 or newer")
    library = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", glibc)
    if library is None:
        raise InvalidArgument(f"--glibc {glibc}: write it as 2.36")
    target = bundle.Target(python_version, arch, (int(library[1]), int(library[2])))
    click.echo(str(bundle.build(target, folder)))
