"""What a machine lacks: a package that can be had without a network, a port, room on a disk."""

import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.machine.farm import Machine

_PREPARE = """
set -e
mkdir -p /srv/repository /tmp/tini/DEBIAN /tmp/tini/usr/bin
cp /usr/bin/tini-static /tmp/tini/usr/bin/
cat >/tmp/tini/DEBIAN/control <<END
Package: tini
Version: 99
Architecture: all
Maintainer: nobody <nobody@example.com>
Description: an init for containers
END
printf '#!/bin/sh\\nsleep 2\\n' >/tmp/tini/DEBIAN/postinst
chmod 755 /tmp/tini/DEBIAN/postinst
dpkg-deb --build -Znone /tmp/tini /srv/repository/tini.deb
cd /srv/repository
{
  cat /tmp/tini/DEBIAN/control
  echo "Filename: ./tini.deb"
  echo "Size: $(stat -c %s tini.deb)"
  echo "SHA256: $(sha256sum <tini.deb | cut -c1-64)"
} >Packages
rm -rf /tmp/tini
dpkg --purge tini
rm -f /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/repository ./' >/etc/apt/sources.list
"""


def take_a_package(machine: Machine) -> None:
    """Remove tini from a machine; its package manager has it in store, and needs seconds to install it."""
    machine("sh", "-c", textwrap.dedent(_PREPARE))


@contextmanager
def small_disk(machine: Machine, at: str, size: str) -> Iterator[None]:
    """A file system of its own, that is full soon."""
    machine("mkdir", "-p", at)
    machine("mount", "-t", "tmpfs", "-o", f"size={size}", "none", at)
    try:
        yield
    finally:
        machine("umount", at)


@contextmanager
def taken_port(machine: Machine) -> Iterator[None]:
    """A program on the machine that listens where managers do."""
    script = "import socket,sys; s=socket.create_server(('', 2377)); print(flush=True); sys.stdin.read()"
    words = ["nsenter", f"--target={machine.leader}", "--all", "--", "python3", "-c", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.stdin.close()
