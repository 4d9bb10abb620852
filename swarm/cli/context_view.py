"""What people see of a context; never a key."""

from typing import Any

from swarm.cli.contexts import DEFAULT, Context, ContextStore
from swarm.errors import SwarmError


def view(one: Context, store: ContextStore) -> dict[str, Any]:
    """Return a context as Docker shows it."""
    shown: dict[str, Any] = {
        "Name": one.name,
        "Metadata": {"Description": one.description} if one.description else {},
        "Endpoints": {"docker": {"Host": one.host, "SkipTLSVerify": False}},
        "TLSMaterial": {"docker": ["ca.pem", "cert.pem", "key.pem"]} if one.tls is not None else {},
        "Storage": {"MetadataPath": "" if one.name == DEFAULT else str(store.path(one.name))},
    }
    if one.tls is not None:
        shown["Certificate"] = _certificate(one.tls.cert)
    return shown


def _certificate(pem: str) -> dict[str, str]:
    """Return whose certificate it is and until when it is good."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise SwarmError("its certificate cannot be read") from None
    oids = {
        "User": NameOID.COMMON_NAME,
        "Role": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "Cluster": NameOID.ORGANIZATION_NAME,
    }
    named = {
        key: str(next(iter(certificate.subject.get_attributes_for_oid(oid))).value)
        for key, oid in oids.items()
        if certificate.subject.get_attributes_for_oid(oid)
    }
    return {**named, "NotAfter": certificate.not_valid_after_utc.isoformat()}
