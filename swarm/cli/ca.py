"""`swarmctl ca`: the root certificate of the cluster, and the change to another one."""

import sys
import time
from pathlib import Path

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.specs_pb2 import ExternalCA
from swarm.api.v1.users_pb2 import ListUsersRequest
from swarm.cli import ca_view
from swarm.cli.connect import Connection, connect
from swarm.cli.live import can_draw
from swarm.cli.parse import fields
from swarm.errors import InvalidArgument, TransientError
from swarm.model.units import parse_duration

POLL_S = 0.2
ROTATE_TIMEOUT_S = 15.0
RENEW_TIMEOUT_S = 60.0  # each manager is asked, and one may wait for an election
EXPIRY_MIN_NS = 3600 * 1_000_000_000
FILE_BYTES_MAX = 64 * 1024

EPILOG = """\b
Examples:
  swarmctl ca > root.pem
  swarmctl ca --renew-node
  swarmctl ca --rotate
  swarmctl ca --rotate --cert-expiry 720h
  swarmctl ca --rotate --ca-cert root.pem --ca-key root.key
  swarmctl ca --rotate --ca-cert root.pem --external-ca protocol=cfssl,url=https://ca.example:8888,cacert=root.pem
"""


@click.command(epilog=EPILOG)
@click.option("--rotate", is_flag=True, help="Change to another root; containers are not touched.")
@click.option("--status", is_flag=True, help="Show how far a rotation is, and which nodes it waits for.")
@click.option("--renew-node", is_flag=True, help="Give this node a new key and certificate now.")
@click.option("--cert-expiry", help="How long node certificates are valid from now on, e.g. 2160h.")
@click.option("--ca-cert", type=click.Path(path_type=Path), help="Root certificate to change to (PEM).")
@click.option("--ca-key", type=click.Path(path_type=Path), help="Its key (PEM, no passphrase).")
@click.option("--external-ca", "external", multiple=True, help="protocol=cfssl,url=URL[,cacert=FILE].")
@click.option("-d", "--detach", is_flag=True, help="Do not wait until every node has changed.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def ca(  # noqa: PLR0913  # one parameter an option
    ctx: click.Context,
    *,
    rotate: bool,
    status: bool,
    renew_node: bool,
    cert_expiry: str | None,
    ca_cert: Path | None,
    ca_key: Path | None,
    external: tuple[str, ...],
    detach: bool,
    quiet: bool,
) -> None:
    """Print the root certificate of the cluster, or change to another one with --rotate."""
    if renew_node:
        if rotate or status:
            raise click.UsageError("--renew-node goes alone")
        _renew_node(ctx.obj)
        return
    if not rotate:
        _require_rotate(cert_expiry, ca_cert, ca_key, external, detach, quiet)
        with connect(ctx.obj) as conn:
            state = _fetch(conn)
        click.echo("\n".join(ca_view.report(state)) if status else state.root_pem.decode().strip())
        return
    if status:
        raise click.UsageError("--status and --rotate exclude each other")
    request = _request(cert_expiry, ca_cert, ca_key, external)
    with connect(ctx.obj) as conn:
        conn.control.RotateCA(request, timeout=ROTATE_TIMEOUT_S)
        _warn_of_users(conn)
        if not detach:
            ctx.exit(follow(conn, quiet=quiet))


def _renew_node(host: str) -> None:
    with connect(host) as conn:
        answer = conn.local.RenewCertificate(c.RenewCertificateRequest(), timeout=RENEW_TIMEOUT_S)
    until = answer.expires_at.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    click.echo(f"Node {answer.node_id} has a new key, and a certificate until {until} UTC.")


def _warn_of_users(conn: Connection) -> None:
    """Say whose certificates end: users renew them themselves only as long as the old root counts."""
    users = [one.spec.annotations.name for one in conn.control.ListUsers(ListUsersRequest()).users]
    if users:
        named = ", ".join([*users[:5], *(["…"] if users[5:] else [])])
        click.echo(
            f"Warning: the certificates of {len(users)} users ({named})"
            " end with the old root: give each a new one with swarmctl user renew NAME",
            err=True,
        )


def _require_rotate(*given: object) -> None:
    if any(given):
        raise click.UsageError("these options need --rotate, which changes the root of the cluster")


def external_ca(text: str) -> ExternalCA:
    """Return the external CA of a `protocol=cfssl,url=URL[,cacert=FILE]` value."""
    values = fields(text, "--external-ca", ("protocol", "url", "cacert"))
    if values.get("protocol", "").lower() != "cfssl":
        raise InvalidArgument(f'--external-ca "{text}": write protocol=cfssl, the only one there is')
    if not values.get("url"):
        raise InvalidArgument(f'--external-ca "{text}": url=URL is missing')
    result = ExternalCA(protocol=ExternalCA.PROTOCOL_CFSSL, url=values["url"])
    if "cacert" in values:
        result.ca_cert_pem = read_pem(Path(values["cacert"]), "--external-ca cacert")
    return result


def read_pem(path: Path, option: str) -> bytes:
    """Return a small file that the user named; raises InvalidArgument."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidArgument(f"{option}: cannot read {path}: {error.strerror}") from None
    if not content or len(content) > FILE_BYTES_MAX:
        raise InvalidArgument(f"{option}: {path} is empty or too large to be a PEM file")
    return content


def expiry_ns(text: str) -> int:
    """Return how long node certificates shall be valid; raises InvalidArgument below an hour."""
    value = parse_duration(text)
    if value < EXPIRY_MIN_NS:
        raise InvalidArgument(f'--cert-expiry "{text}": one hour is the least')
    return value


def _request(
    cert_expiry: str | None, ca_cert: Path | None, ca_key: Path | None, external: tuple[str, ...]
) -> c.RotateCARequest:
    if ca_key is not None and ca_cert is None:
        raise click.UsageError("--ca-key needs --ca-cert, the certificate of the key")
    if ca_cert is not None and ca_key is None and not external:
        raise click.UsageError("--ca-cert needs --ca-key, or --external-ca to sign with it")
    request = c.RotateCARequest(external_cas=[external_ca(text) for text in external])
    if ca_cert is not None:
        request.ca_cert_pem = read_pem(ca_cert, "--ca-cert")
    if ca_key is not None:
        request.ca_key_pem = read_pem(ca_key, "--ca-key")
    if cert_expiry is not None:
        request.node_cert_expiry_ns = expiry_ns(cert_expiry)
    return request


def _fetch(conn: Connection) -> c.RootStatus:
    status: c.RootStatus = conn.control.GetCA(c.GetCARequest()).status
    return status


def follow(conn: Connection, *, quiet: bool) -> int:
    """Wait until every node has changed, showing how far they are; return the exit code."""
    drawing = _Drawing(quiet=quiet)
    try:
        while (state := _looked(conn, drawing)) is None or not ca_view.is_done(state):
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        click.echo("\nThe rotation goes on in the background; `swarmctl ca --status` shows it.", err=True)
        return 130
    if not quiet:
        click.echo(state.root_pem.decode().strip())
    return 0


def _looked(conn: Connection, drawing: "_Drawing") -> c.RootStatus | None:
    """Look once and show it; None while no manager can tell."""
    try:
        state = _fetch(conn)
    except TransientError as problem:
        drawing.note(f"waiting: {problem}")
        return None
    drawing.show(state)
    return state


class _Drawing:
    """Bars that are drawn again on a terminal; elsewhere only who is waited for, once."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bars = not quiet and can_draw(sys.stderr)
        self._drawn = 0
        self._noted: set[str] = set()

    def show(self, state: c.RootStatus) -> None:
        """Show the state of now."""
        if not self._bars:
            for line in ca_view.hindrances(state):
                self.note(line)
            return
        lines = [*ca_view.bars(state), *ca_view.hindrances(state)]
        if self._drawn:
            click.echo(f"\x1b[{self._drawn}A\x1b[J", nl=False, err=True)
        for line in lines:
            click.echo(line, err=True)
        self._drawn = len(lines)

    def note(self, text: str) -> None:
        """Print a line that stays, unless it was printed before."""
        if not self._quiet and text not in self._noted:
            self._noted.add(text)
            click.echo(text, err=True)
            self._drawn = 0
