"""How does a name that a stranger chose appear in a message of ours?

Imports nothing but the standard library: the unpacking process loads it as well.
"""

_LONGEST = 100


def shown(value: object) -> str:
    """Return `value` for an error: quoted, short, and nothing that a terminal obeys."""
    if isinstance(value, str):
        value = value[: _LONGEST + 1]
    elif value is not None and not isinstance(value, int | float):
        return f"a {type(value).__name__}"  # whatever is in it
    text = repr(value)
    return text if len(text) <= _LONGEST + 2 else f"{text[:_LONGEST]}…{text[0]}"


def plain(text: str, longest: int = 200) -> str:
    """Return what somebody else said on one line, cut, with unprintable characters escaped."""
    text = " ".join(text[: longest + 1].split())
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
