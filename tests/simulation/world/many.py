"""Many seeds, on as many processes as there are cores."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import structlog

from tests.simulation.world.storm import play
from tests.simulation.world.story import Broken

CHUNK = 10


def play_all(seeds: Iterable[int], jobs: int) -> Iterator[str]:
    """Play many seeds; yield what broke."""
    if jobs == 1:
        yield from filter(None, map(problem_of, seeds))
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from filter(None, pool.map(problem_of, seeds, chunksize=CHUNK))


def problem_of(seed: int) -> str:
    """Play a seed; return what broke, or nothing."""
    quiet()
    try:
        play(seed)
    except Broken as error:
        return str(error)
    return ""


def quiet() -> None:
    """Loops in trouble log a lot, and nobody reads it."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False
    )
