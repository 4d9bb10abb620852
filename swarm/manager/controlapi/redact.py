"""What people may see of an object: everything but keys, secrets and passwords."""

from swarm.api.v1.objects_pb2 import Cluster, Config, Secret, Service, Task
from swarm.api.v1.specs_pb2 import TaskSpec
from swarm.manager.store.tables import copy_of


def shown_cluster(cluster: Cluster) -> Cluster:
    """Return the cluster without the root key, the secrets of the join tokens and the unlock key."""
    shown = copy_of(cluster)
    shown.ClearField("unlock_key")
    for field in ("key_pem", "worker_secret", "manager_secret"):
        shown.root_ca.ClearField(field)
    if shown.root_ca.HasField("rotation"):
        shown.root_ca.rotation.ClearField("key_pem")
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
    shown.spec.ClearField("secret_data")
    return shown


def shown_config(config: Config) -> Config:
    """Return the config without its data, which would make every list and event many times as long."""
    shown = copy_of(config)
    shown.spec.ClearField("data")
    return shown


def _has_auth(spec: TaskSpec) -> bool:
    return spec.container.HasField("registry_auth")


def _strip(spec: TaskSpec) -> None:
    if _has_auth(spec):
        spec.container.registry_auth.ClearField("password")
        spec.container.registry_auth.ClearField("identity_token")
