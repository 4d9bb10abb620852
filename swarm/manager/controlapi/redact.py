"""What people may see of an object: everything but keys, secrets and passwords."""

from swarm.api.v1.objects_pb2 import Cluster, Config, Secret, Service, Stack, Task
from swarm.api.v1.specs_pb2 import TaskSpec
from swarm.manager.store.tables import copy_of


def shown_cluster(cluster: Cluster) -> Cluster:
    """Return the cluster without its keys, and without the secrets of the join tokens."""
    shown = copy_of(cluster)
    shown.ClearField("unlock_key")
    if shown.HasField("overlay_key"):
        shown.overlay_key.ClearField("secret")
    for field in ("key_pem", "worker_secret", "manager_secret"):
        shown.root_ca.ClearField(field)
    if shown.root_ca.HasField("rotation"):
        shown.root_ca.rotation.ClearField("key_pem")
    if shown.HasField("acme"):
        shown.acme.ClearField("account_key_pem")
        for certificate in shown.acme.certificates.values():
            if certificate.HasField("order"):
                certificate.order.ClearField("key_pem")
    return shown


def shown_service(service: Service) -> Service:
    """Return the service without registry passwords, in its current and its previous spec.

    Earlier revisions are left out: they would make every list and every event many times as long.
    """
    if not (service.revisions or _has_auth(service.spec.task) or _has_auth(service.previous_spec.task)):
        return service
    shown = copy_of(service)
    shown.ClearField("revisions")
    _strip(shown.spec.task)
    if shown.HasField("previous_spec"):
        _strip(shown.previous_spec.task)
    return shown


def shown_task(task: Task) -> Task:
    """Return the task without registry passwords."""
    if not _has_auth(task.spec):
        return task
    shown = copy_of(task)
    _strip(shown.spec)
    return shown


def shown_secret(secret: Secret) -> Secret:
    """Return the secret without its data: nobody can read it again."""
    shown = copy_of(secret)
    shown.data_bytes = len(secret.spec.secret_data)
    shown.spec.ClearField("secret_data")
    return shown


def shown_config(config: Config) -> Config:
    """Return the config without its data, which would make every list and event many times as long."""
    shown = copy_of(config)
    shown.data_bytes = len(config.spec.data)
    shown.spec.ClearField("data")
    return shown


def shown_stack(stack: Stack) -> Stack:
    """Return the stack without what was deployed: it would make every event many times as long."""
    shown = copy_of(stack)
    shown.ClearField("revisions")
    return shown


def _has_auth(spec: TaskSpec) -> bool:
    return spec.container.HasField("registry_auth")


def _strip(spec: TaskSpec) -> None:
    if _has_auth(spec):
        spec.container.registry_auth.ClearField("password")
        spec.container.registry_auth.ClearField("identity_token")
