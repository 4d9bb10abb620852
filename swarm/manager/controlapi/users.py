"""Users: people with a certificate of the cluster, whose rights stand in the store."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc

from swarm.api.v1.control_pb2_grpc import ControlServicer as ControlBase
from swarm.api.v1.users_pb2 import (
    CreateUserRequest,
    GetUserRequest,
    GetUserResponse,
    IssuedUser,
    ListUsersRequest,
    ListUsersResponse,
    ReadAuditRequest,
    ReadAuditResponse,
    RemoveUserRequest,
    RemoveUserResponse,
    RenewUserRequest,
    UpdateUserRequest,
    UpdateUserResponse,
    User,
    UserSpec,
)
from swarm.clock import Clock
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, NotPermitted, StaleVersion
from swarm.ids import new_id
from swarm.manager.controlapi.cluster import the_cluster
from swarm.manager.controlapi.ports import RaftStatus, ReadAudit
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.routing import Router
from swarm.manager.controlapi.user_certificates import ISSUE_S, issue
from swarm.manager.store.scope import ScopedStore
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.limits import LABEL_KEY_BYTES, LABEL_VALUE_BYTES, USER_SCOPE, shown
from swarm.model.reference import parse_reference
from swarm.model.sizes import labels_problems
from swarm.security.certificates import check_user_name
from swarm.security.identity import Identity, Role, caller
from swarm.security.keyfiles import NodeBundle
from swarm.security.people import ROLES, user_id

R = TypeVar("R")
Context = grpc.aio.ServicerContext[Any, Any]

SELF = "self"
_WHOLE = frozenset({Role.LOCAL, Role.ADMIN})  # of roles: who may do something for other users


def check_user(spec: UserSpec) -> None:
    """Raise InvalidArgument unless there can be such a user."""
    check_user_name(spec.annotations.name)
    name = spec.annotations.name
    if name == SELF:
        raise InvalidArgument('"self" cannot be the name of a user: it means who asks')
    problems = [*labels_problems(spec.annotations.labels), *_scope_problems(spec)]
    if spec.role not in ROLES:
        problems.append(f"role {spec.role} is none of viewer, operator, admin")
    if problems:
        raise InvalidArgument(f"invalid user {name}: {'; '.join(problems)}")


def _scope_problems(spec: UserSpec) -> list[str]:
    problems = [
        *USER_SCOPE.exceeded("the scope", len(spec.scope)),
        *USER_SCOPE.exceeded("names of images", len(spec.image_names)),
        *filter(None, map(_image_name_problem, spec.image_names)),
    ]
    if spec.image_names and not spec.scope:
        problems.append("names of images confine nobody without a scope: all names are open to the user")
    for label in spec.scope:
        key, _, value = label.partition("=")
        if not key:
            problems.append(f'the scope "{shown(label)}" is not KEY or KEY=VALUE')
        problems += LABEL_KEY_BYTES.exceeded(f"scope {shown(label)}", len(key.encode()))
        problems += LABEL_VALUE_BYTES.exceeded(f"scope {shown(label)}", len(value.encode()))
    if ROLES.get(spec.role) is Role.ADMIN and spec.scope:
        problems.append(
            "an admin has no scope: nodes, tokens and users have no labels that could confine one"
        )
    return problems


def _image_name_problem(text: str) -> str:
    """Return why a name cannot be set apart for somebody's images; empty if it can."""
    registry, _, path = text.partition("/")
    says_registry = registry == "localhost" or "." in registry or ":" in registry
    try:
        name = parse_reference(f"{text}/x" if path or not says_registry else f"{text}/x/x").name
    except InvalidArgument as problem:
        return f'the name of images "{shown(text)}": {problem}'
    if not says_registry or not name.startswith(f"{text}/"):
        return (
            f'the name of images "{shown(text)}" is no REGISTRY or REGISTRY/PATH, such as'
            " registry.example/red or docker.io/red"
        )
    return ""


def find_user(view: ReadView, ref: str, who: Identity) -> User:
    """Return the user whom `who` may ask about: an admin anybody, others themselves.

    Raises NotFound, NotPermitted.
    """
    if ref == SELF or who.role not in _WHOLE:
        mine = view.users.get(user_id(who)) if who.user_key else None
        if mine is None:
            raise NotFound(
                f"{who.user or 'whoever is at a manager socket'} is no user of the cluster"
                " (swarmctl user ls shows them)"
            )
        if ref not in {SELF, mine.id, mine.spec.annotations.name}:
            raise NotPermitted(f"user {shown(ref)}: only an administrator may ask about others than oneself")
        return mine
    return resolve(view.users, "user", ref)


def update_user(transaction: Transaction, request: UpdateUserRequest) -> User:
    """Give a user another role, scope or labels; raises NotFound, StaleVersion, InvalidArgument."""
    current = resolve(transaction.users, "user", request.id)
    if request.version != current.meta.version.index:
        raise StaleVersion(
            f"update out of sequence: user {current.spec.annotations.name} changed since it was read; "
            "try again"
        )
    if request.spec.annotations.name != current.spec.annotations.name:
        raise InvalidArgument("the name of a user stands in certificates and cannot change: create another")
    user = copy_of(current)
    user.spec.CopyFrom(request.spec)
    return transaction.update(user)


def remove_user(transaction: Transaction, ref: str) -> str:
    """Forget a user, whose certificates end with that; return the id. Raises NotFound."""
    user = resolve(transaction.users, "user", ref)
    transaction.remove(user)
    return user.id


def renewed(user: User, *, revoke: bool) -> User:
    """Return a user for another certificate; with `revoke` those before count no more."""
    changed = copy_of(user)
    changed.generation += revoke
    return changed


class UsersServicer(ControlBase):
    """The part of service Control that is about users, and what was done by whom."""

    _store: ScopedStore
    _router: Router
    _raft: RaftStatus
    _clock: Clock
    _audit: ReadAudit | None
    _bundle: Callable[[], NodeBundle]

    def _update(self, change: Callable[[Transaction], R], timeout_s: float) -> Awaitable[R]:
        """Commit `change` as the whole servicer does."""
        raise NotImplementedError

    async def CreateUser(self, request: CreateUserRequest, context: Context) -> IssuedUser:
        """Make a user, and a certificate for the key of the request."""
        check_user(request.spec)
        made = User(id=new_id(), spec=request.spec, created_by=caller(context).user, generation=1)

        async def commit(timeout_s: float) -> IssuedUser:
            issued = await self._issue(made, request.csr_pem, request.lifetime_ns)
            written = await self._update(lambda transaction: transaction.create(issued.user), timeout_s)
            return self._told(issued, written)

        return await self._router.write("CreateUser", request, context, commit, total_s=ISSUE_S)

    async def RenewUser(self, request: RenewUserRequest, context: Context) -> IssuedUser:
        """Make another certificate of a user; who asks may be the user."""
        who = caller(context)
        if request.revoke and who.role not in _WHOLE:
            raise NotPermitted("only an administrator revokes certificates (swarmctl user renew --revoke)")

        async def commit(timeout_s: float) -> IssuedUser:
            known = find_user(self._store.whole, request.ref, who)
            user = renewed(known, revoke=request.revoke)
            issued = await self._issue(user, request.csr_pem, request.lifetime_ns)
            # Raises StaleVersion when the user was changed or revoked meanwhile.
            written = await self._update(lambda transaction: _change(transaction, issued.user), timeout_s)
            return self._told(issued, written)

        return await self._router.write("RenewUser", request, context, commit, total_s=ISSUE_S)

    async def _issue(self, user: User, csr_pem: bytes, lifetime_ns: int) -> IssuedUser:
        cluster, now_ns = the_cluster(self._store.whole), self._clock.now_ns()
        return await issue(cluster, user, csr_pem, now_ns, lifetime_ns, self._bundle)

    def _told(self, issued: IssuedUser, written: User) -> IssuedUser:
        issued.user.CopyFrom(self._store.whole.users.get(written.id) or written)
        leader_id = self._raft.leader.raft_id if self._raft.leader else ""
        members = sorted(self._raft.members, key=lambda one: (one.raft_id != leader_id, one.addr))
        issued.manager_addrs.extend(one.addr for one in members)
        return issued

    async def GetUser(self, request: GetUserRequest, context: Context) -> GetUserResponse:
        """Return a user; who is no admin may ask about oneself."""
        who = caller(context)

        def answer() -> GetUserResponse:
            return GetUserResponse(user=find_user(self._store.whole, request.ref, who))

        return await self._router.read("GetUser", request, context, answer)

    async def ListUsers(self, request: ListUsersRequest, context: Context) -> ListUsersResponse:
        """Return all users by name."""

        def answer() -> ListUsersResponse:
            found = sorted(self._store.whole.users, key=lambda one: one.spec.annotations.name)
            return ListUsersResponse(users=found)

        return await self._router.read("ListUsers", request, context, answer)

    async def UpdateUser(self, request: UpdateUserRequest, context: Context) -> UpdateUserResponse:
        """Give a user other rights, at once and everywhere."""
        check_user(request.spec)

        async def commit(timeout_s: float) -> UpdateUserResponse:
            changed = await self._update(lambda transaction: update_user(transaction, request), timeout_s)
            return UpdateUserResponse(user=self._store.whole.users.get(changed.id) or changed)

        return await self._router.write("UpdateUser", request, context, commit)

    async def RemoveUser(self, request: RemoveUserRequest, context: Context) -> RemoveUserResponse:
        """Forget a user."""

        async def commit(timeout_s: float) -> RemoveUserResponse:
            removed = await self._update(
                lambda transaction: remove_user(transaction, request.ref), timeout_s
            )
            return RemoveUserResponse(id=removed)

        return await self._router.write("RemoveUser", request, context, commit)

    async def ReadAudit(
        self, request: ReadAuditRequest, context: Context
    ) -> AsyncIterator[ReadAuditResponse]:
        """Yield what all managers wrote down of calls, in order of time."""
        if self._audit is None:
            raise FailedPrecondition("this manager has no audit trail")
        async for answer in self._audit(request):
            yield answer


def _change(transaction: Transaction, user: User) -> User:
    return transaction.update(user)
