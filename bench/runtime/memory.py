"""How much memory have the programs of a container engine?"""

from pathlib import Path


def kilobytes(programs: tuple[str, ...], mark: str, also: tuple[int, ...] = ()) -> tuple[int, int]:
    """Return (PSS, RSS) in KiB of all processes of these programs whose command line has `mark`.

    And of the processes `also`. PSS shares what several have out among them; RSS counts it for each.
    """
    pss = rss = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "comm").read_text().strip()
            line = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
            mine = any(name.startswith(one[:15]) for one in programs) and mark in line
            if not mine and int(folder.name) not in also:
                continue
            fields = dict(
                row.split(":", 1) for row in (folder / "smaps_rollup").read_text().splitlines() if ":" in row
            )
        except OSError:
            continue  # it ended meanwhile
        pss += int(fields["Pss"].split()[0])
        rss += int(fields["Rss"].split()[0])
    return pss, rss
