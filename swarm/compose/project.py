"""All files of a Compose project as one, with what they include and extend, and their variables."""

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from swarm.compose.canonical import absolute, canonical
from swarm.compose.document import parse
from swarm.compose.dotenv import parse_dotenv
from swarm.compose.interpolation import interpolate
from swarm.compose.merge import merge, without_marks
from swarm.compose.schema import validate
from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument, NotFound
from swarm.model.limits import COMPOSE_FILES

Read = Callable[[str], str]  # the text of a file by its path; raises NotFound, InvalidArgument

STDIN = "-"
_SHARED = ("services", "networks", "volumes", "secrets", "configs", "models")


@dataclass(slots=True)
class Project:
    """What the files of a project say together, in long forms, and what people should know about it."""

    tree: Tree
    warnings: list[str] = field(default_factory=list)


class Loader:
    """Reads the files of one project."""

    def __init__(self, read: Read, variables: Mapping[str, str], *, raw: bool = False) -> None:
        """`variables` are those of whoever runs swarmctl; with `raw` variables are left as they are."""
        self._read = read
        self._surroundings = variables
        self._raw = raw
        self._files = 0
        self._warnings: dict[str, None] = {}

    def load(
        self,
        paths: Sequence[str],
        directory: str,
        *,
        name: str = "",
        env_files: Sequence[str] = (),
        profiles: Iterable[str] = (),
    ) -> Project:
        """Return the project of `paths`, merged in this order; relative paths are seen from `directory`.

        Raises InvalidArgument with file, line and column, and NotFound for a file that is not there.
        """
        tree = self._load(paths, directory, env_files, name, ())
        tree = _only_active(tree, frozenset(profiles))
        _check_references(tree)
        return Project(tree, list(self._warnings))

    def _load(
        self,
        paths: Sequence[str],
        directory: str,
        env_files: Sequence[str],
        name: str,
        included_by: tuple[str, ...],
    ) -> Tree:
        variables = self._variables(directory, env_files, name)
        merged: Tree | None = None
        for path in paths:
            tree = self._file(path, directory, variables)
            merged = without_marks(tree) if merged is None else merge(merged, tree)
        if merged is None:
            raise InvalidArgument("there is no Compose file")
        return self._with_included(merged, directory, (*included_by, *paths))

    def _variables(self, directory: str, env_files: Sequence[str], name: str) -> Mapping[str, str]:
        found: dict[str, str] = {"COMPOSE_PROJECT_NAME": name} if name else {}
        for path in env_files or (absolute(".env", directory),):
            try:
                text = self._read(path)
            except NotFound:
                if env_files:
                    raise
                continue
            found.update(parse_dotenv(text, path, {**found, **self._surroundings}))
        return {**found, **self._surroundings}

    def _file(self, path: str, directory: str, variables: Mapping[str, str]) -> Tree:
        self._files += 1
        for problem in COMPOSE_FILES.exceeded("files", self._files):
            raise InvalidArgument(problem)
        tree = parse(self._read(path), "standard input" if path == STDIN else path)
        if not self._raw:
            tree = interpolate(tree, variables, self._unset)
        validate(tree)
        tree = canonical(tree, directory, variables)
        services = tree.get("services")
        if services is None:
            return tree
        extended = {
            name: self._extended(services, name, path, directory, variables, ()) for name in services.entries
        }
        return tree.having({**tree.entries, "services": services.having(extended)})

    def _extended(
        self,
        services: Tree,
        name: str,
        path: str,
        directory: str,
        variables: Mapping[str, str],
        extended_by: tuple[tuple[str, str], ...],
    ) -> Tree:
        """Return a service with what it extends below it."""
        service = services.entries[name]
        extends = service.get("extends")
        if extends is None:
            return service
        if (path, name) in extended_by:
            raise extends.problem(f"service {name} extends itself")
        chain = (*extended_by, (path, name))
        wanted, file = str(extends.entries["service"].value), extends.get("file")
        if file is None:
            if wanted not in services.entries:
                raise extends.problem(f"service {name} extends {wanted}, which is not in this file")
            base = self._extended(services, wanted, path, directory, variables, chain)
        else:
            base = self._base(str(file.value), wanted, extends, variables, chain)
        own = service.having({key: one for key, one in service.entries.items() if key != "extends"})
        kept = {key: one for key, one in base.entries.items() if key not in {"depends_on", "extends"}}
        return merge(base.having(kept), own, ("services", name))

    def _base(
        self,
        path: str,
        wanted: str,
        extends: Tree,
        variables: Mapping[str, str],
        chain: tuple[tuple[str, str], ...],
    ) -> Tree:
        """Return a service of another file."""
        self._files += 1
        for problem in COMPOSE_FILES.exceeded("files", self._files):
            raise extends.problem(problem)
        directory = posixpath.dirname(path)
        try:
            tree = parse(self._read(path), path)
        except NotFound as problem:
            raise extends.problem(str(problem)) from None
        if not self._raw:
            tree = interpolate(tree, variables, self._unset)
        validate(tree)
        services = canonical(tree, directory, variables).get("services")
        if services is None or wanted not in services.entries:
            raise extends.problem(f"there is no service {wanted} in {path}")
        return self._extended(services, wanted, path, directory, variables, chain)

    def _with_included(self, tree: Tree, directory: str, included_by: tuple[str, ...]) -> Tree:
        include = tree.get("include")
        if include is None:
            return tree
        own = tree.having({key: one for key, one in tree.entries.items() if key != "include"})
        for item in include.items:
            paths, where, env_files = _included(item, directory)
            for path in paths:
                if path in included_by:
                    raise item.problem(f"{path} includes itself")
            try:
                other = self._load(paths, where, env_files, "", included_by)
            except NotFound as problem:
                raise item.problem(str(problem)) from None
            own = _join(own, other)
        return own

    def _unset(self, name: str) -> None:
        self._warn(f"the variable {name} is not set: it counts as empty")

    def _warn(self, text: str) -> None:
        self._warnings[text] = None


def _included(item: Tree, directory: str) -> tuple[list[str], str, list[str]]:
    """Return the files of one entry of `include`, their directory and their .env files."""
    path = item.get("path") or item
    paths = [absolute(str(one.value), directory) for one in path.items or [path]]
    where = item.get("project_directory")
    env = item.get("env_file")
    env_files = [] if env is None else [absolute(str(one.value), directory) for one in env.items or [env]]
    found = posixpath.dirname(paths[0]) if where is None else absolute(str(where.value), directory)
    return paths, found, env_files


def _join(own: Tree, other: Tree) -> Tree:
    """Return two projects as one; what both have is an error, unless it is the same."""
    entries = dict(own.entries)
    for kind in _SHARED:
        theirs = other.get(kind)
        if theirs is None:
            continue
        mine = entries.get(kind, theirs.having({}))
        for name, one in theirs.entries.items():
            if name in mine.entries and mine.entries[name].plain() != one.plain():
                where = mine.entries[name]
                raise one.problem(f"{kind}.{name} is there already: {where.key_place or where.place}")
        entries[kind] = mine.having({**mine.entries, **theirs.entries})
    return own.having(entries)


def _only_active(tree: Tree, profiles: frozenset[str]) -> Tree:
    """Return `tree` without services of other profiles; `*` stands for all."""
    services = tree.get("services")
    if services is None:
        return tree
    kept = {
        name: one
        for name, one in services.entries.items()
        if (of := one.get("profiles")) is None
        or not of.items
        or "*" in profiles
        or profiles & {str(item.value) for item in of.items}
    }
    return tree.having({**tree.entries, "services": services.having(kept)})


def _check_references(tree: Tree) -> None:
    """Refuse services that name services, networks, volumes, secrets or configs that are not there."""
    services = tree.get("services")
    for name, service in (services.entries if services is not None else {}).items():
        dependencies = service.get("depends_on")
        for other, one in (dependencies.entries if dependencies is not None else {}).items():
            required = one.get("required")
            if other not in services.entries and (required is None or required.value is not False):  # type: ignore[union-attr]
                raise one.problem(f"service {name} depends on {other}, which is not in the project")
        for kind, key in (
            ("networks", ""),
            ("volumes", "source"),
            ("secrets", "source"),
            ("configs", "source"),
        ):
            _check_kind(tree, name, service, kind, key)


def _check_kind(tree: Tree, name: str, service: Tree, kind: str, key: str) -> None:
    used, known = service.get(kind), tree.get(kind)
    if used is None:
        return
    named = (
        list(used.entries.items())
        if not key
        else [(str(item.entries[key].value), item) for item in used.items if key in item.entries]
    )
    for wanted, where in named:
        if kind == "networks" and wanted == "default":
            continue
        if kind == "volumes" and where.entries["type"].value != "volume":
            continue
        if known is None or wanted not in known.entries:
            raise where.problem(
                f"service {name} uses {wanted}, which is not among the {kind} of the project"
            )
