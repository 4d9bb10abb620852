"""Modules that libraries import and commands never use: they are read when somebody looks into them.

That saves a tenth of the time that people wait.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

OTHER_GRPC = "grpc.aio"  # gRPC's interface for asyncio
OTHER_PROTOBUF = "google.protobuf.internal.python_message"  # for machines without its compiled half


class _Postponed(ModuleType):
    """A module that is read when something in it is looked for.

    That of the standard library is read when it is imported a second time, because that looks at its spec.
    """

    def __getattr__(self, name: str) -> object:
        spec = self.__spec__
        if name.startswith("__") or spec is None or spec.loader is None:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]  # from here on it is like any other
        spec.loader.exec_module(self)
        return getattr(self, name)


def postpone(name: str) -> None:
    """Have a module read on first use, unless it or what is above it was imported already."""
    found = None if name in sys.modules or name.partition(".")[0] in sys.modules else _spec(name)
    if found is None:  # also: a version of the library without it
        return
    module = importlib.util.module_from_spec(found)
    module.__class__ = _Postponed
    sys.modules[name] = module


def _spec(name: str) -> ModuleSpec | None:
    """Find a module without importing the packages above it, which would import it."""
    words, places, found = name.split("."), None, None
    for count in range(1, len(words) + 1):
        found = PathFinder.find_spec(".".join(words[:count]), places)
        if found is None:
            return None
        places = found.submodule_search_locations
    return found
