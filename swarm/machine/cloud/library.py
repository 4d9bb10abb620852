"""What do we say to a cloud's API? The only importer of apache-libcloud; its calls block: use a thread.

EC2 gets a token that makes asking twice harmless, a tag to be found by, and a key pair. Other clouds get
what their driver's `create_node` has a name for; what was wished and has no name there is refused.
"""

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import urlsplit

from swarm.errors import InvalidArgument, SwarmError
from swarm.machine.cloud.credentials import Credentials
from swarm.machine.cloud.plan import Instance, Notes, State
from swarm.machine.cloud.wish import EC2, Wish
from swarm.machine.errors import AuthRefused, MachineError, PreCheckFailed, Unreachable

REQUEST_TIMEOUT_S = 20.0
ERROR_CHARACTERS = 300
TOKEN_TAG, MACHINE_TAG, CLUSTER_TAG = "swarm:token", "swarm:machine", "swarm:cluster"
TOKEN_CHARACTERS = 10  # of the token in names of machines and keys; the rest is in the tag
_BUSY = ("RequestLimitExceeded", "Throttling", "Rate limit", "InternalError", "Unavailable")
_INSTALL = (
    f"machines of clouds need the package apache-libcloud: python3 -m pip --python {sys.executable} install "
    "'apache-libcloud>=3.8' (no pip: apt install python3-pip)"
)
# What EC2 says of a machine, as libcloud hands it on; it knows fewer states itself.
_EC2_STATES = {
    "pending": State.PENDING,
    "running": State.RUNNING,
    "stopping": State.STOPPING,
    "stopped": State.STOPPED,
    "shutting-down": State.GONE,
    "terminated": State.GONE,
}
_CALLS = {"start": "start_node", "stop": "stop_node", "restart": "reboot_node", "destroy": "destroy_node"}
_STATES = {
    "running": State.RUNNING,
    "stopped": State.STOPPED,
    "suspended": State.STOPPED,
    "paused": State.STOPPED,
    "stopping": State.STOPPING,
    "terminated": State.GONE,
    "erasing": State.GONE,
}


@dataclass(frozen=True, slots=True)
class Order:
    """A machine to be made. `user_data`: what it does at the first boot."""

    machine: str
    cluster: str
    user_data: str
    key: str  # name of the key pair that opens it


class Cloud(Protocol):
    """One cloud. Raises Unreachable when what was asked for may be done or not, other MachineErrors."""

    idempotent: bool  # asks for the same token make one machine
    keys: bool  # it gives machines a key pair by name

    def check(self) -> None:
        """Raise unless we are let in and what is wished for can be."""

    def find(self, machine: str, notes: Notes) -> Instance | None:
        """Return the machine that was noted, or that has our token."""

    def create(self, order: Order, notes: Notes) -> Instance:
        """Ask for a machine."""

    def act(self, action: str, instance: Instance) -> None:
        """Start, stop, restart or destroy a machine; to destroy what is gone is no error."""

    def add_key(self, name: str, public: str) -> None:
        """Have the cloud know a public key; no error when it does."""

    def remove_key(self, name: str) -> None:
        """Have the cloud forget a key; no error when it has."""


def open_cloud(wish: Wish, notes: Notes, credentials: Credentials) -> Cloud:
    """Return the cloud; raises PreCheckFailed without the library, InvalidArgument for an unknown name."""
    try:
        from libcloud.compute.providers import get_driver
        from libcloud.compute.types import Provider
    except ImportError as error:
        raise PreCheckFailed(f"{_INSTALL} ({error})") from None
    known = sorted(
        value for name, value in vars(Provider).items() if name.isupper() and isinstance(value, str)
    )
    if wish.provider not in known:
        raise InvalidArgument(f"--cloud-provider {wish.provider}: libcloud knows {', '.join(known)}")
    with _explained(wish.provider, credentials):
        kind = get_driver(wish.provider)
    if wish.provider == EC2:
        return Ec2Cloud(kind, wish, notes, credentials)
    return AnyCloud(kind, wish, notes, credentials)


class AnyCloud:
    """A cloud of which we know what libcloud has in common for all."""

    idempotent = False

    def __init__(self, kind: Any, wish: Wish, notes: Notes, credentials: Credentials) -> None:
        """Raises MachineError, InvalidArgument."""
        self._wish, self._credentials = wish, credentials
        self._driver = self._opened(kind, notes)
        self._accepts = frozenset(inspect.signature(self._driver.create_node).parameters)
        self.keys = "ex_keyname" in self._accepts

    def _opened(self, kind: Any, notes: Notes) -> Any:
        return self._constructed(kind, notes, dict(self._wish.arguments))

    def _constructed(self, kind: Any, notes: Notes, more: Mapping[str, Any]) -> Any:
        takes = inspect.signature(kind.__init__).parameters
        region = {"region": notes.region} if notes.region and "region" in takes else {}
        secret = {"secret": self._credentials.secret} if self._credentials.secret else {}
        self._place = "" if region else notes.region
        with self._explained():
            driver = kind(self._credentials.key, **{**secret, **region, **place_of(notes.endpoint), **more})
        driver.connection.timeout = REQUEST_TIMEOUT_S  # not all constructors take it
        return driver

    def _explained(self) -> AbstractContextManager[None]:
        return _explained(self._wish.provider, self._credentials)

    def check(self) -> None:
        """Raise unless image and size are there, and everything wished for has a name."""
        self._arguments(Order("m", "c", "", "k"))
        with self._explained():
            self._image(), self._size(), self._location()

    def find(self, machine: str, notes: Notes) -> Instance | None:
        """Return the machine by its id, or its name, which has our token in it."""
        with self._explained():
            nodes = self._driver.list_nodes()
        name = full_name(machine, notes.token)
        return chosen(
            [
                self._shown(node)
                for node in nodes
                if str(node.id) == notes.instance or (not notes.instance and node.name == name)
            ]
        )

    def create(self, order: Order, notes: Notes) -> Instance:
        """Ask for a machine of a name that has our token in it."""
        more = self._arguments(order)
        with self._explained():
            what = {"size": self._size(), "image": self._image(), **self._location()}
            node = self._driver.create_node(name=full_name(order.machine, notes.token), **what, **more)
            return self._shown(node)

    def _arguments(self, order: Order) -> dict[str, Any]:
        wish = self._wish
        tags = {**wish.tags, MACHINE_TAG: order.machine, CLUSTER_TAG: order.cluster}
        if not wish.tags and "ex_metadata" not in self._accepts:
            tags = {}  # ours are for people: it is found by its name
        return arguments_of(
            self._accepts,
            (
                ("--cloud-key-name", ("ex_keyname",), order.key if wish.key_name or self.keys else ""),
                ("cloud-init", ("ex_userdata", "ex_user_data"), order.user_data),
                ("--cloud-tag", ("ex_metadata",), tags),
                ("--cloud-security-group", ("ex_security_groups",), _named(wish.security_groups)),
                ("--cloud-subnet", ("networks", "ex_subnet"), _subnet(wish.subnet)),
            ),
            wish.provider,
        )

    def _image(self) -> Any:
        return _picked("--cloud-image", self._wish.image, self._driver.list_images())

    def _location(self) -> dict[str, Any]:
        """Return the region where it is told with the machine, not when the API is opened."""
        needed = inspect.signature(self._driver.create_node).parameters.get("location")
        if needed is None and self._place:
            raise PreCheckFailed(f"--cloud-region: libcloud's driver for {self._wish.provider} has none")
        if needed is None or (not self._place and needed.default is not inspect.Parameter.empty):
            return {}
        return {"location": _picked("--cloud-region", self._place, self._driver.list_locations())}

    def _size(self) -> Any:
        return _picked("--cloud-size", self._wish.size, self._driver.list_sizes())

    def _shown(self, node: Any) -> Instance:
        state = _STATES.get(str(node.state).lower(), State.PENDING)
        return Instance(str(node.id), state, _first(node.public_ips), _first(node.private_ips))

    def act(self, action: str, instance: Instance) -> None:
        """Have libcloud do it; a machine that is gone is destroyed."""
        try:
            with self._explained():
                getattr(self._driver, _CALLS[action])(self._node(instance))
        except MachineError as error:
            if not (action == "destroy" and _is_absent(error)):
                raise

    def _node(self, instance: Instance) -> Any:
        for node in self._driver.list_nodes():
            if str(node.id) == instance.id:
                return node
        raise MachineError(f"{instance.id} not found")

    def add_key(self, name: str, public: str) -> None:
        """Import a public key."""
        try:
            with self._explained():
                self._driver.import_key_pair_from_string(name, public)
        except MachineError as error:
            if "uplicate" not in str(error) and "already" not in str(error):
                raise

    def remove_key(self, name: str) -> None:
        """Delete a public key."""
        try:
            with self._explained():
                self._driver.delete_key_pair(SimpleNamespace(name=name))
        except MachineError as error:
            if not _is_absent(error):
                raise


class Ec2Cloud(AnyCloud):
    """Amazon EC2, and others with the same API."""

    idempotent = True

    def _opened(self, kind: Any, notes: Notes) -> Any:
        session = {"token": self._credentials.token} if self._credentials.token else {}
        # The newest signature: what the library takes by default, some endpoints do not understand.
        more = {"signature_version": "4", **session, **self._wish.arguments}
        try:
            return self._constructed(kind, notes, more)
        except MachineError as error:
            if "Invalid region" in str(error):
                raise InvalidArgument(
                    f"--cloud-region {notes.region}: known are {', '.join(sorted(kind.list_regions()))}"
                ) from None
            raise

    def check(self) -> None:
        """Raise unless we are let in, and the image is there."""
        with self._explained():
            found = self._driver.list_images(ex_image_ids=[self._wish.image])
        if not found:
            raise PreCheckFailed(f"--cloud-image {self._wish.image}: there is none in this region")

    def find(self, machine: str, notes: Notes) -> Instance | None:
        """Return the machine by its id or its tag, one that lives before one that is gone."""
        asked: dict[str, Any] = {"ex_filters": {f"tag:{TOKEN_TAG}": notes.token}}
        if notes.instance:
            asked = {"ex_node_ids": [notes.instance]}
        try:
            with self._explained():
                nodes = self._driver.list_nodes(**asked)
        except PreCheckFailed as error:
            if _is_absent(error):
                return None
            raise
        return chosen([self._shown(node) for node in nodes])

    def create(self, order: Order, notes: Notes) -> Instance:
        """Ask for a machine; the tags come with it, so there is no moment without them."""
        wish = self._wish
        groups = "ex_security_group_ids" if wish.subnet else "ex_security_groups"
        more: dict[str, Any] = {groups: list(wish.security_groups)} if wish.security_groups else {}
        if wish.subnet:
            more["ex_subnet"] = SimpleNamespace(id=wish.subnet)
        ours = {TOKEN_TAG: notes.token, MACHINE_TAG: order.machine, CLUSTER_TAG: order.cluster}
        with self._explained():
            node = self._driver.create_node(
                name=order.machine,
                size=SimpleNamespace(id=wish.size),
                image=SimpleNamespace(id=wish.image),
                ex_keyname=order.key,
                ex_userdata=order.user_data,
                ex_metadata={**wish.tags, **ours},
                ex_clienttoken=notes.token,
                **more,
            )
            return self._shown(node)

    def _node(self, instance: Instance) -> Any:
        return SimpleNamespace(id=instance.id)

    def _shown(self, node: Any) -> Instance:
        state = _EC2_STATES.get(str(node.extra.get("status")), State.PENDING)
        public = _first(node.public_ips[::-1])  # an address that somebody has lent it comes last
        return Instance(str(node.id), state, public, _first(node.private_ips))


def full_name(machine: str, token: str) -> str:
    """Return the name under which a cloud without tokens keeps a machine, or its key."""
    return f"{machine}-{token[:TOKEN_CHARACTERS]}"


def chosen(found: Sequence[Instance]) -> Instance | None:
    """Return the machine that lives, else the last one that is gone."""
    living = [one for one in found if one.state is not State.GONE]
    if living:
        return living[0]
    return found[-1] if found else None


def place_of(endpoint: str) -> dict[str, Any]:
    """Return what libcloud calls the parts of an API's URL; raises InvalidArgument."""
    if not endpoint:
        return {}
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise InvalidArgument(f"--cloud-endpoint {endpoint}: write http[s]://HOST[:PORT]")
    secure = parts.scheme == "https"
    return {"host": parts.hostname, "port": parts.port or (443 if secure else 80), "secure": secure}


def arguments_of(
    accepts: frozenset[str], wished: Sequence[tuple[str, tuple[str, ...], Any]], provider: str
) -> dict[str, Any]:
    """Return keyword arguments for what is wished: (option, names that clouds have for it, value).

    Raises PreCheckFailed for a wish that this cloud has no name for.
    """
    found = {}
    for option, names, value in wished:
        if not value:
            continue
        name = next((name for name in names if name in accepts), "")
        if not name:
            raise PreCheckFailed(f"{option}: libcloud's driver for {provider} has nothing of the kind")
        found[name] = value
    return found


def _named(names: Sequence[str]) -> list[Any]:
    return [SimpleNamespace(name=name, id=name) for name in names]


def _subnet(name: str) -> list[Any]:
    return [SimpleNamespace(id=name)] if name else []


def _picked(option: str, wanted: str, there: Sequence[Any]) -> Any:
    for one in there:
        if wanted in (str(one.id), one.name):
            return one
    some = ", ".join(sorted(str(one.id) for one in there)[:20]) or "none"
    raise PreCheckFailed(f"{option} {wanted}: this cloud has no such thing; it has {some}")


def _first(addresses: Sequence[str]) -> str:
    return str(addresses[0]) if addresses else ""


def _is_absent(error: SwarmError) -> bool:
    return "NotFound" in str(error) or "not found" in str(error) or "does not exist" in str(error)


@contextmanager
def _explained(provider: str, credentials: Credentials) -> Iterator[None]:
    """Turn what the library raises, which may be anything, into errors of ours."""
    import requests
    from libcloud.common.exceptions import BaseHTTPError
    from libcloud.common.types import InvalidCredsError, MalformedResponseError

    try:
        yield
    except SwarmError:
        raise
    except InvalidCredsError as error:
        raise AuthRefused(
            f"{provider} does not let us in with {credentials.source}: {_short(error)}"
        ) from None
    except (requests.RequestException, OSError, MalformedResponseError) as error:
        raise Unreachable(f"the API of {provider} does not answer as it should: {_short(error)}") from None
    except BaseHTTPError as error:
        busy = error.code >= 500 or error.code == 429 or any(word in str(error) for word in _BUSY)
        told = f"{provider} refuses: {_short(error) or f'HTTP {error.code}'}"
        if busy:
            raise Unreachable(told) from None
        raise (AuthRefused if error.code in (401, 403) else PreCheckFailed)(told) from None
    except Exception as error:  # IndexError and AttributeError are among what the library raises
        raise MachineError(f"{provider}: {type(error).__name__}: {_short(error)}") from error


def _short(error: BaseException) -> str:
    text = " ".join(str(getattr(error, "value", "") or error).split())
    return text[:ERROR_CHARACTERS]
