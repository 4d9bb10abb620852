"""What does the service manager (systemd) hear of this daemon? Nothing when it did not start us."""

import os
import socket
from contextlib import suppress


class ServiceManager:
    """The one that started this process and asked to be told how it is."""

    def __init__(self) -> None:
        """Take the address out of the environment: containers must not report in our name."""
        self._address = os.environ.pop("NOTIFY_SOCKET", "")

    def tell(self, state: str) -> None:
        """Send a line such as `READY=1`; it is no fault of ours when nobody listens."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(state.encode(), address)
