"""How the store changes when an order goes on, fails or is done. Each function runs in a transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cryptography import x509

from swarm.api.v1.objects_pb2 import AcmeCertificate, AcmeState, AcmeTrouble, Cluster, Secret
from swarm.errors import Unavailable, UserError
from swarm.ids import new_id
from swarm.manager.acme.plan import Plan, renewal_ns, troubled
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.acme import directory_of
from swarm.model.http_certificates import certificate_problem
from swarm.timestamps import SECOND, timestamp

if TYPE_CHECKING:
    from swarm.manager.acme.client import Order

HOST_LABEL = "com.swarm.acme.host"


class Invalid(UserError):
    """The ACME server gave up an order."""


class TooLate(UserError):
    """An order was given up here."""


def begin_account(tx: Transaction, key_pem: bytes) -> None:
    """Have a new account, as yet only its key: orders under way are the old one's. Certificates stay."""
    cluster = _changed(tx)
    if cluster is None:
        return
    config, state = cluster.spec.http_ingress.acme, AcmeState()
    state.directory, state.email = directory_of(config), config.email
    state.account_key_pem = key_pem
    for host, one in cluster.acme.certificates.items():
        kept = state.certificates[host]
        kept.CopyFrom(one)
        kept.ClearField("order")
        kept.ClearField("trouble")
    cluster.acme.CopyFrom(state)
    tx.update(cluster)


def keep_account(tx: Transaction, key_pem: bytes, url: str) -> None:
    """Keep where the account is, unless the key is another one by now."""
    cluster = _changed(tx)
    if cluster is not None and cluster.acme.account_key_pem == key_pem:
        cluster.acme.account_url = url
        cluster.acme.ClearField("trouble")
        tx.update(cluster)


def account_failed(tx: Transaction, error: Exception, now_ns: int) -> None:
    """Keep why there is no account."""
    cluster = _changed(tx)
    if cluster is not None:
        cluster.acme.trouble.CopyFrom(trouble_of(cluster.acme.trouble, error, now_ns))
        tx.update(cluster)


def change_certificate(
    tx: Transaction, host: str, seen: AcmeCertificate, act: Callable[[AcmeCertificate], None]
) -> None:
    """Change the entry of a host, which is new if need be, unless it is not what was seen."""
    cluster = _changed(tx)
    if cluster is None or (cluster.acme.certificates.get(host) or AcmeCertificate()).order != seen.order:
        return
    act(cluster.acme.certificates[host])
    tx.update(cluster)


def begin(one: AcmeCertificate, key_pem: bytes, now_ns: int) -> None:
    """Note that a certificate for this key is about to be ordered."""
    one.order.key_pem = key_pem
    one.order.begun_at.CopyFrom(timestamp(now_ns))


def ordered(one: AcmeCertificate, made: Order) -> None:
    """Note the order, and what proxies have to answer."""
    one.order.url, one.order.proof_name, one.order.proof = made.url, made.proof_name, made.proof
    one.trouble.ClearField("retry_at")


def answered(one: AcmeCertificate) -> None:
    """Note that the server may ask the proxies."""
    one.order.answerable = True
    one.trouble.ClearField("retry_at")


def order_failed(tx: Transaction, host: str, seen: AcmeCertificate, error: Exception, now_ns: int) -> None:
    """Keep what went wrong; an order that the server refuses is over, one that it did not hear of goes on.

    A server that does not know the account any more is told of it again.
    """

    def act(one: AcmeCertificate) -> None:
        one.trouble.CopyFrom(trouble_of(one.trouble, error, now_ns))
        if isinstance(error, UserError):
            one.ClearField("order")

    change_certificate(tx, host, seen, act)
    if str(error).startswith("accountDoesNotExist") and (cluster := _changed(tx)) is not None:
        cluster.acme.ClearField("account_url")
        tx.update(cluster)


def trouble_of(before: AcmeTrouble, error: Exception, now_ns: int) -> AcmeTrouble:
    """Return the trouble after an error."""
    return troubled(
        before,
        reason_of(error),
        now_ns,
        reached=isinstance(error, UserError),
        retry_after_s=getattr(error, "retry_after_s", 0.0),
    )


def reason_of(error: Exception) -> str:
    """Return what went wrong, for people."""
    return str(error) or type(error).__name__


def secret_of(host: str, chain: bytes, key_pem: bytes) -> Secret:
    """Return a certificate that came, with its key; raises Unavailable when the two do not fit."""
    item = Secret(id=new_id())
    item.spec.annotations.name = f"acme-{item.id}"
    item.spec.annotations.labels[HOST_LABEL] = host
    item.spec.secret_data = chain + key_pem
    problem = certificate_problem(item.spec.secret_data)
    if problem:
        raise Unavailable(f"what the ACME server gave is no certificate for our key: {problem}")
    return item


def keep_certificate(tx: Transaction, host: str, seen: AcmeCertificate, item: Secret, chance: float) -> None:
    """Have a new certificate served in place of the one before; `chance` as in renewal_ns."""
    cluster = _changed(tx)
    if cluster is None or cluster.acme.certificates[host].order != seen.order:
        return
    leaf = x509.load_pem_x509_certificates(item.spec.secret_data)[0]
    begins_ns = int(leaf.not_valid_before_utc.timestamp()) * SECOND
    ends_ns = int(leaf.not_valid_after_utc.timestamp()) * SECOND
    one = cluster.acme.certificates[host]
    before = tx.secrets.get(one.secret_id) if one.secret_id else None
    one.secret_id = item.id
    one.not_after.CopyFrom(timestamp(ends_ns))
    one.renew_at.CopyFrom(timestamp(renewal_ns(begins_ns, ends_ns, chance)))
    one.ClearField("order")
    one.ClearField("trouble")
    tx.create(item)
    tx.update(cluster)
    if before is not None:
        tx.remove(before)


def tidy(tx: Transaction, todo: Plan, now_ns: int) -> None:
    """Note which certificates no route asks for, and forget those that none asked for for long."""
    if tx.cluster is None:
        return
    cluster = copy_of(tx.cluster)
    known = cluster.acme.certificates
    for host in todo.unwanted:
        if host in known:
            known[host].unwanted_since.CopyFrom(timestamp(now_ns))
            known[host].ClearField("order")
            known[host].ClearField("trouble")
    for host in todo.wanted_again:
        if host in known:
            known[host].ClearField("unwanted_since")
    for host in todo.forgotten:
        if host in known:
            secret = tx.secrets.get(known[host].secret_id)
            if secret is not None:
                tx.remove(secret)
            del known[host]
    tx.update(cluster)


def _changed(tx: Transaction) -> Cluster | None:
    """Return a copy of the cluster; None when there is none, or it wants no certificates any more."""
    cluster = tx.cluster
    if cluster is None or not cluster.spec.http_ingress.HasField("acme"):
        return None
    return copy_of(cluster)
