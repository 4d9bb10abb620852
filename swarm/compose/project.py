"""All files of a Compose project as one, with what they include and extend, and their variables."""

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from swarm.compose.canonical import absolute, canonical
from swarm.compose.document import parse
from swarm.compose.dotenv import parse_dotenv
from swarm.compose.interpolation import interpolate
from swarm.compose.merge import merge, without_marks
from swarm.compose.references import check_references
from swarm.compose.schema import validate
from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument, NotFound, UserError
from swarm.model.limits import COMPOSE_FILES

Read = Callable[[str], str]  # the text of a file by its path; raises NotFound, InvalidArgument

STDIN = "-"
NAME = "COMPOSE_PROJECT_NAME"  # the stack's, for its own files
PROFILES = "COMPOSE_PROFILES"
_SHARED = ("services", "networks", "volumes", "secrets", "configs", "models")


@dataclass(slots=True)
class Project:
    """What the files of a project say together, in long forms, and what people should know about it."""

    tree: Tree
    warnings: list[str] = field(default_factory=list)
    variables: Mapping[str, str] = field(default_factory=dict)


class Loader:
    """Reads the files of one project."""

    def __init__(self, read: Read, variables: Mapping[str, str], *, raw: bool = False) -> None:
        """`variables` are those of whoever runs swarmctl; with `raw` variables are left as they are."""
        self._read = read
        self._surroundings = variables
        self._raw = raw
        self._named = False  # whoever runs swarmctl says what the stack is called
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
        variables = self._variables(directory, env_files, self._surroundings, None)
        self._named = bool(name)
        if name:
            variables[NAME] = name
        whole = self._load(paths, directory, variables, (), None)
        active = frozenset(profiles) or frozenset(variables.get(PROFILES, "").split(","))
        tree = _only_active(whole, active)
        check_references(tree, whole)
        return Project(tree, list(self._warnings), variables)

    def _load(
        self,
        paths: Sequence[str],
        directory: str,
        variables: dict[str, str],
        included_by: tuple[str, ...],
        named_by: Tree | None,
    ) -> Tree:
        merged: Tree | None = None
        for path in paths:
            own = self._file(path, directory, variables, named_by)
            # With what it includes: that a later file may change, and only this one must not have as well.
            tree = self._with_included(own, directory, variables, (*included_by, *paths))
            merged = without_marks(tree) if merged is None else merge(merged, tree)
        if merged is None:
            raise InvalidArgument("there is no Compose file")
        return merged

    def _variables(
        self, directory: str, env_files: Sequence[str], over: Mapping[str, str], named_by: Tree | None
    ) -> dict[str, str]:
        """Return the variables of `.env` files, and `over` them those of whoever reads the project."""
        found: dict[str, str] = {}
        for path in env_files or (absolute(".env", directory),):
            try:
                text = self._text(path, named_by)
            except NotFound:
                if env_files:
                    raise _said_by(named_by, f"there is no file {path}", NotFound) from None
                continue
            found.update(parse_dotenv(text, path, {**found, **over}))
        return {**found, **over}

    def _text(self, path: str, named_by: Tree | None) -> str:
        """Return the text of a file; raises NotFound, and InvalidArgument with the place that names it."""
        try:
            return self._read(path)
        except InvalidArgument as problem:
            raise _said_by(named_by, str(problem)) from None

    def _long(self, path: str, directory: str, variables: dict[str, str], named_by: Tree | None) -> Tree:
        """Return one file by itself, checked and in long forms."""
        self._files += 1
        for problem in COMPOSE_FILES.exceeded("files", self._files):
            raise _said_by(named_by, problem)
        try:
            text = self._text(path, named_by)
        except NotFound as problem:
            raise _said_by(named_by, str(problem), NotFound) from None
        tree = parse(text, "standard input" if path == STDIN else path)
        if not self._raw:
            if named_by is None and not self._named and (name := tree.get("name")) is not None:
                variables[NAME] = str(interpolate(name, variables, self._unset).value)
            tree = interpolate(tree, variables, self._unset)
        validate(without_marks(tree))  # of what is reset the value does not matter
        return canonical(tree, directory, variables)

    def _file(self, path: str, directory: str, variables: dict[str, str], named_by: Tree | None) -> Tree:
        """Return one file with what its services extend."""
        tree = self._long(path, directory, variables, named_by)
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
        variables: dict[str, str],
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
        variables: dict[str, str],
        chain: tuple[tuple[str, str], ...],
    ) -> Tree:
        """Return a service of another file."""
        directory = posixpath.dirname(path)
        services = self._long(path, directory, variables, extends).get("services")
        if services is None or wanted not in services.entries:
            raise extends.problem(f"there is no service {wanted} in {path}")
        return self._extended(services, wanted, path, directory, variables, chain)

    def _with_included(
        self, tree: Tree, directory: str, variables: Mapping[str, str], included_by: tuple[str, ...]
    ) -> Tree:
        include = tree.get("include")
        if include is None:
            return tree
        own = tree.having({key: one for key, one in tree.entries.items() if key != "include"})
        for item in include.items:
            paths, where, env_files = _included(item, directory)
            for path in paths:
                if path in included_by:
                    raise item.problem(f"{path} includes itself")
            inside = self._variables(where, env_files, variables, item)
            own = _join(own, self._load(paths, where, inside, included_by, item))
        return own

    def _unset(self, name: str) -> None:
        self._warn(f"the variable {name} is not set: it counts as empty")

    def _warn(self, text: str) -> None:
        self._warnings[text] = None


def _said_by(named_by: Tree | None, text: str, otherwise: type[UserError] = InvalidArgument) -> UserError:
    """Return an error about a file, with the place that names it; the command line has none."""
    return named_by.problem(text) if named_by is not None else otherwise(text)


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
