"""Links in virtual time: one stream per direction, in order, nothing twice; what is inside dies with it."""

import random
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from typing import Any, Protocol

Link = tuple[str, str]


class Endpoint(Protocol):
    """A member as the network sees it."""

    def wants(self, other: str) -> bool: ...
    def admits(self, other: str) -> bool: ...
    def visited(self, other: str, *, here: bool) -> None: ...
    def receive(self, sender: str, frame: Any) -> None: ...
    def link_up(self, other: str) -> None: ...
    def link_down(self, other: str) -> None: ...


class Network:
    """Streams between members; `cut` holds the directions in which nothing gets through."""

    def __init__(self, seed: Hashable, now: Callable[[], float], delay_s: float = 0.03) -> None:
        self._seed = seed
        self.jumble = 0.0  # chance of a frame to come twice, and to overtake others: no stream does that
        self._now = now
        self.delay_s = delay_s
        self.members: dict[str, Endpoint] = {}
        self.cut: set[Link] = set()
        self._up: set[Link] = set()
        self._queues: dict[Link, deque[tuple[float, Any]]] = defaultdict(deque)
        self._random: dict[Link, random.Random] = {}  # per link: the order of sends does not matter

    def _delay(self, link: Link) -> float:
        return self._source(link).random() * self.delay_s

    def _source(self, link: Link) -> random.Random:
        source = self._random.get(link)
        if source is None:
            source = self._random[link] = random.Random(f"{self._seed}{link}")
        return source

    def send(self, sender: str, recipient: str, frame: Any) -> None:
        link = (sender, recipient)
        if link in self._up:
            queue = self._queues[link]
            arrival = self._now() + self._delay(link)
            queue.append((max(arrival, queue[-1][0]) if queue else arrival, frame))
            if self.jumble:
                self._jumble(link, frame)

    def _jumble(self, link: Link, frame: Any) -> None:
        source, queue = self._source(link), self._queues[link]
        if source.random() < self.jumble:
            queue.append((queue[-1][0] + 5 * self._delay(link), frame))
        if source.random() < self.jumble:
            queue.rotate(1)  # the newest frame is the first to arrive

    def deliver(self, rng: random.Random) -> None:
        """Hand over what has arrived, stream by stream in random order."""
        links = sorted(link for link, queue in self._queues.items() if queue)
        rng.shuffle(links)
        for link in links:
            queue = self._queues[link]
            while queue and queue[0][0] <= self._now():
                _, frame = queue.popleft()
                if link in self._up and link not in self.cut:
                    self.members[link[1]].receive(link[0], frame)

    def connect(self, sender: str, recipient: str) -> None:
        link = (sender, recipient)
        if link in self._up or link in self.cut or not {sender, recipient} <= self.members.keys():
            return
        if self.members[sender].wants(recipient) and self.members[recipient].admits(sender):
            self._up.add(link)
            self.members[recipient].visited(sender, here=True)
            self.members[sender].link_up(recipient)

    def disconnect(self, sender: str, recipient: str) -> None:
        link = (sender, recipient)
        if link in self._up:
            self._up.discard(link)
            self._queues[link].clear()
            if sender in self.members:
                self.members[sender].link_down(recipient)
            if recipient in self.members:
                self.members[recipient].visited(sender, here=False)

    def prune(self) -> None:
        """Close the streams that one side does not want any more."""
        for sender, recipient in sorted(self._up):
            if not self.members[sender].wants(recipient) or not self.members[recipient].admits(sender):
                self.disconnect(sender, recipient)

    def leave(self, name: str) -> None:
        """A member died: what it had put on the wire may still arrive, and all its streams end."""
        del self.members[name]
        for other in sorted(self.members):
            self._arrive_late((name, other))
        for other in sorted(self.members):
            self.disconnect(other, name)
            self.disconnect(name, other)
        self._up = {link for link in self._up if name not in link}
        for link, queue in self._queues.items():
            if name in link:
                queue.clear()

    def _arrive_late(self, link: Link) -> None:
        queue = self._queues[link]
        if link in self._up and link not in self.cut and queue:
            for _ in range(self._source(link).randint(0, len(queue))):
                self.members[link[1]].receive(link[0], queue.popleft()[1])
