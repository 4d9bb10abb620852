"""The context of a user: a key made here, a certificate from the cluster, and where its file goes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from swarm.api.v1.users_pb2 import IssuedUser
from swarm.cli.contexts import SCHEME, Context, ContextStore, Tls, default_root, to_text, write_private
from swarm.cli.endpoints import ManagersEndpoint, parse_endpoint
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.model.units import parse_duration
from swarm.security.certificates import create_csr, new_key_pem

Write = Callable[[Context], None]


class Issued:
    """A key, and what is asked for it."""

    def __init__(self, name: str, expiry: str, addresses: str) -> None:
        """Make the key; raises InvalidArgument for an `expiry` or `addresses` that cannot be."""
        self.lifetime_ns = parse_duration(expiry) if expiry else 0
        if expiry and self.lifetime_ns <= 0:
            raise InvalidArgument(f'--expiry "{expiry}": write how long, e.g. 720h')
        if addresses and not isinstance(parse_endpoint(addresses), ManagersEndpoint):
            raise InvalidArgument(f'--host "{addresses}": write tcp://MANAGER:2377,…')
        self._name = name
        self._addresses = addresses
        self._key_pem = new_key_pem()
        self.csr_pem = create_csr(self._key_pem)

    def context(self, answer: IssuedUser) -> Context:
        """Return the context for the certificate that the cluster answered with."""
        host = self._addresses or f"tcp://{','.join(answer.manager_addrs)}"
        called = answer.user.spec.annotations.name
        tls = Tls(answer.root_ca_pem.decode(), answer.cert_pem.decode(), self._key_pem.decode())
        return Context(called, host, f"{called} at cluster {answer.cluster_name}".strip(), tls)


@contextmanager
def destination(out: str, name: str) -> Iterator[Write]:
    """Yield how to write the file of a user; that it can be written is made sure beforehand."""
    if out == "-":
        yield lambda context: click.echo(to_text(context), nl=False)
        return
    path = Path(out or f"{name}.swarmcontext")
    if path.exists():
        raise FailedPrecondition(f"cannot write {path}: there is such a file already")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise FailedPrecondition(f"cannot write {path}: no folder {path.parent} that you may write to")

    def write(context: Context) -> None:
        try:
            write_private(path, to_text(context))
        except FailedPrecondition as problem:
            again = f"swarmctl user renew {context.name} --revoke --out FILE"
            raise FailedPrecondition(
                f"{problem}; user {context.name} has a certificate whose key is lost: {again} makes another"
            ) from None
        click.echo(f"Wrote {path}")
        click.echo("Warning: the file holds a private key: give it to nobody but the user.", err=True)

    yield write


@contextmanager
def replacing(host: str) -> Iterator[Write]:
    """Yield how to give the context in use a new certificate; raises FailedPrecondition."""
    if not host.startswith(SCHEME):
        raise FailedPrecondition(
            "there is no context in use whose certificate could be renewed: name a user, or say --context"
        )
    store = ContextStore(default_root(os.environ))
    before = store.load(host.removeprefix(SCHEME), os.environ)
    if before.tls is None:
        raise FailedPrecondition(f"context {before.name} ({before.host}) has no certificate to renew")

    def write(context: Context) -> None:
        store.save(replace(before, tls=context.tls))
        click.echo(before.name)

    yield write
