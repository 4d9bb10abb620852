"""Values of templates that are more than what is printed."""

from base64 import b64decode
from collections.abc import Mapping
from fractions import Fraction


class NoValue:
    """What a map has under a key that it has not: nothing, and it counts as false."""

    def __bool__(self) -> bool:
        """There is nothing."""
        return False


NO_VALUE = NoValue()


class LabelText(str):
    """Labels as a listing shows them, `a=1,b=2`; `{{.Label "a"}}` asks for one."""

    labels: Mapping[str, str]

    def __new__(cls, labels: Mapping[str, str]) -> "LabelText":
        """Return the text of `labels`, in the order of their keys."""
        text = super().__new__(cls, ",".join(f"{key}={labels[key]}" for key in sorted(labels)))
        text.labels = dict(labels)
        return text


class EncodedText(str):
    """Bytes as JSON has them, in base64; `{{printf "%s" …}}` prints what they are."""

    @property
    def decoded(self) -> str:
        """What the bytes say."""
        return b64decode(self).decode(errors="replace")


class Span(int):
    """Nanoseconds, a number in JSON, that templates print as Go does: `1m0s`."""

    def __str__(self) -> str:
        seconds, nanoseconds = divmod(abs(self), 10**9)
        sign = "-" if self < 0 else ""
        if not seconds:
            for size, unit in ((10**6, "ms"), (10**3, "µs"), (1, "ns")):
                if nanoseconds >= size:
                    return f"{sign}{_decimal(Fraction(nanoseconds, size))}{unit}"
            return "0s"
        hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
        shown = f"{hours}h" if hours else ""
        shown += f"{minutes}m" if hours or minutes else ""
        return f"{sign}{shown}{_decimal(rest + Fraction(nanoseconds, 10**9))}s"


def _decimal(number: Fraction) -> str:
    whole, rest = divmod(number, 1)
    digits = f"{int(rest * 10**9):09d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
