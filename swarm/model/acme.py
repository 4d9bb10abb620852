"""Who gives certificates by ACME: what of that can be, and which hosts have one."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from swarm.api.v1.objects_pb2 import AcmeCertificate, Cluster
from swarm.api.v1.specs_pb2 import AcmeConfig
from swarm.api.v1.types_pb2 import HttpRoute
from swarm.model import limits

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")
PROOF_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")  # RFC 8555: base64url
PROOF = re.compile(r"[A-Za-z0-9_.-]{1,512}")


def config_problems(config: AcmeConfig) -> Iterator[str]:
    """Yield every problem of where certificates are to come from."""
    if not _EMAIL.fullmatch(config.email) or len(config.email) > limits.ACME_TEXT_CHARACTERS.value:
        yield f'"{limits.shown(config.email)}" is no email address (--acme-email ops@example.org)'
    yield from limits.ACME_TEXT_CHARACTERS.exceeded("the ACME directory", len(config.directory))
    url = urlsplit(config.directory or LETS_ENCRYPT)
    if url.scheme != "https" or not url.hostname:
        yield f"the ACME directory {limits.shown(config.directory)} is no URL that begins with https://"
    if not config.terms_agreed:
        yield "the ACME server has terms of service: read them, and agree to them (--acme-agree-tos)"
    yield from limits.ACME_CA_BYTES.exceeded("the CA of the ACME directory", len(config.ca_pem))
    if config.ca_pem:
        from cryptography import x509  # which commands about routes do without

        try:
            x509.load_pem_x509_certificates(config.ca_pem)
        except ValueError:
            yield "the CA of the ACME directory (--acme-ca) is no certificate in PEM"


def directory_of(config: AcmeConfig) -> str:
    """Return the URL of the ACME server's directory."""
    return config.directory or LETS_ENCRYPT


def certificate_of(cluster: Cluster | None, host: str) -> AcmeCertificate | None:
    """Return what the cluster has by ACME for a host; None when it has nothing, or is to have nothing."""
    if cluster is None or not cluster.spec.http_ingress.HasField("acme"):
        return None
    return cluster.acme.certificates.get(host)


def served_secret(cluster: Cluster | None, route: HttpRoute) -> str:
    """Return the id of the secret with the certificate that is served for a route; empty: there is none."""
    if not route.acme:
        return route.tls_secret_id
    found = certificate_of(cluster, route.host)
    return found.secret_id if found is not None else ""


def proofs_of(cluster: Cluster) -> dict[str, str]:
    """Return what every proxy of the cluster has to answer to challenges, by the last part of their path."""
    orders = (one.order for one in cluster.acme.certificates.values() if one.HasField("order"))
    return {order.proof_name: order.proof for order in orders if order.proof_name}
