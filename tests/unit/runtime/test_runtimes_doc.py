"""The table of abilities says what the drivers say."""

from pathlib import Path

from swarm.runtime.abilities import Ability
from swarm.runtime.process.driver import ABILITIES, IGNORED

PAGE = Path(__file__).parents[3] / "docs/operations/runtimes.md"
ALL = frozenset(Ability)
# Name, what it can do at best, what has no effect.
DRIVERS = {
    "oci": (ALL, frozenset()),
    "docker": (ALL - {Ability.USERS, Ability.PARTS}, frozenset()),
    "process": (ABILITIES, IGNORED),
}


def table() -> str:
    """Return the table as it has to be."""
    lines = [f"| ability | {' | '.join(DRIVERS)} |", f"|---|{'---|' * len(DRIVERS)}"]
    for ability in Ability:
        words = [
            "yes" if ability in can else "no effect" if ability in ignored else "refused"
            for can, ignored in DRIVERS.values()
        ]
        lines.append(f"| {ability} | {' | '.join(words)} |")
    return "\n".join(lines)


def test_the_page_has_the_table_of_the_drivers() -> None:
    assert table() in PAGE.read_text("utf-8")
