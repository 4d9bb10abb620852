"""A layer below all images, with the places at which every container has something mounted. Blocks.

What an image lacks of them, a runtime would make for each container: seven files and directories, all of
which overlayfs makes somewhere else first. What an image has instead, a link perhaps, hides what is here.
"""

from pathlib import Path

_DIRECTORIES = ("proc", "dev", "sys", "etc")
_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf")


def make_mount_points(layer: Path) -> None:
    """Make the layer, or what is missing of it; raises OSError."""
    for path in (layer, *(layer / name for name in _DIRECTORIES)):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)  # whatever our umask is
    for name in _FILES:
        (layer / name).touch()
        (layer / name).chmod(0o644)
