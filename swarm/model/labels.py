"""Does something have the label that a filter names?"""

from collections.abc import Mapping


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether labels are as a filter says: KEY or KEY=VALUE."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
