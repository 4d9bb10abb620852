"""`tcp://HOST:2377,…`: managers, which are reached over TLS that both sides prove themselves with."""

import datetime as dt
import socket
from typing import Any

import grpc
from cryptography import x509

from swarm.cli.contexts import Context
from swarm.cli.endpoints import ManagersEndpoint
from swarm.clock import SECOND, SystemClock
from swarm.errors import FailedPrecondition, Unavailable
from swarm.security.tls import CHANNEL_OPTIONS

REACH_TIMEOUT_S = 3.0  # for each manager


def open_channel(
    endpoint: ManagersEndpoint, context: Context, options: list[tuple[str, Any]]
) -> tuple[grpc.Channel, str]:
    """Return a channel to the first manager that is there, and its address.

    Raises FailedPrecondition (no certificate, expired), Unavailable (none answers).
    """
    tls = context.tls
    if tls is None:
        raise FailedPrecondition(
            f"{context.host} asks for a certificate: make a context with one (swarmctl context create --ca"
            " … --cert … --key …), or import the one that an administrator gave you"
        )
    check_expiry(tls.cert, context.name, SystemClock().now_ns())
    address = first_reachable(endpoint)
    credentials = grpc.ssl_channel_credentials(tls.ca.encode(), tls.key.encode(), tls.cert.encode())
    return grpc.secure_channel(address, credentials, options=[*options, *CHANNEL_OPTIONS]), address


def check_expiry(cert_pem: str, name: str, now_ns: int) -> None:
    """Raise FailedPrecondition when a certificate has expired or cannot be read.

    Managers would only cut the connection: what is wrong is better known here.
    """
    try:
        end = x509.load_pem_x509_certificate(cert_pem.encode()).not_valid_after_utc
    except ValueError:
        raise FailedPrecondition(f"the certificate of context {name} cannot be read") from None
    if end < dt.datetime.fromtimestamp(now_ns / SECOND, dt.UTC):
        raise FailedPrecondition(
            f"the certificate of context {name} expired on {end:%Y-%m-%d %H:%M} UTC: ask an administrator"
            " of the cluster for a new one"
        )


def first_reachable(endpoint: ManagersEndpoint) -> str:
    """Return the address (HOST:PORT) of the first manager that accepts a connection; raises Unavailable."""
    reasons = []
    for host, port in endpoint.managers:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            socket.create_connection((host, port), REACH_TIMEOUT_S).close()
        except OSError as problem:
            reasons.append(f"{address}: {problem.strerror or problem}")
        else:
            return address
    raise Unavailable(f"no manager of the cluster answers ({'; '.join(reasons)})")
