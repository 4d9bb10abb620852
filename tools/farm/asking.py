"""Somebody who asks a service all the time, at every machine in turn: `asking.py PORT ADDRESS…`.

Prints one line for each request: when it was made, to whom, and whether it was answered. Ends when its input
does.
Standard library only: it runs on the network of the machines.
"""

import http.client
import select
import sys
import time

EVERY_S = 0.1
PATIENCE_S = 2.0


def answers(address: str, port: int) -> bool:
    """Whether the service answers at a machine."""
    try:
        connection = http.client.HTTPConnection(address, port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False


def main() -> int:
    """Ask until nobody listens."""
    port, addresses = int(sys.argv[1]), sys.argv[2:]
    turn = 0
    while not select.select([sys.stdin], [], [], EVERY_S)[0]:
        address = addresses[turn % len(addresses)]
        began = time.monotonic()
        sys.stdout.write(f"{began:.3f} {address} {int(answers(address, port))}\n")
        sys.stdout.flush()
        turn += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
