"""Values of templates that are more than what is printed."""

from base64 import b64decode
from collections.abc import Mapping


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


class Nil:
    """What an object may have and has not: no, in a condition; scripts compare what is printed."""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return "<nil>"


NIL = Nil()
