"""One subscriber of /ws: what it wants, and the messages that wait or may be asked for again."""

from __future__ import annotations

import secrets
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.key import KeyPattern

_KEYS_REMEMBERED_MAX = 100_000


class Message(NamedTuple):
    """What is sent: bytes as a binary frame, text as a text frame.

    Attributes:
        body: the frame.
        id: its number, or 0 for answers, which are not sent again.
    """

    body: bytes | str
    id: int = 0


class Subscriber:
    """The streams of one client, and its messages. Thread-safe, and never waits.

    A subscriber that *resumes* has its messages numbered, and outlives its connection: those that
    were sent stay, as far as they fit beside those that were not, so that the next connection may
    go on behind the last one that the client has seen.

    Args:
        bytes_max: what may wait, and stay, of messages.
        wake: called when there is something to take; from any thread.

    Attributes:
        session: names it to its client; not to be guessed.
        is_full: set once what waits is too much; nothing is queued any more.
        streams: the patterns as the client wrote them.
        resumes: whether its messages are numbered.
    """

    def __init__(self, bytes_max: int, wake: Callable[[], None]) -> None:
        self.session = secrets.token_hex(16)
        self.is_full = False
        self.streams: frozenset[str] = frozenset()
        self.resumes = False
        self._bytes_max = bytes_max
        self._wake = wake
        self._is_woken = False
        self._patterns: tuple[KeyPattern, ...] = ()
        self._wanted: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._sent: deque[Message] = deque()
        self._sent_bytes = 0
        self._forgotten = 0  # number of the last message that can no longer be sent again
        self._last = 0

    def wants(self, key: str) -> bool:
        """Whether it subscribed to this bucket; remembered, for the same keys come again."""
        wanted = self._wanted
        known = wanted.get(key)
        if known is None:
            known = any(pattern.matches(key) for pattern in self._patterns)
            if len(wanted) < _KEYS_REMEMBERED_MAX:
                wanted[key] = known
        return known

    def subscribe(self, patterns: tuple[KeyPattern, ...]) -> None:
        """Replace what it wants."""
        self._patterns = patterns
        self._wanted = {}
        self.streams = frozenset(pattern.text for pattern in patterns)

    def number_from(self, last: int) -> None:
        """Keep messages from now on, the ones after number `last`."""
        with self._lock:
            if not self.resumes:
                self.resumes = True
                self._forgotten = self._last = last

    def push(self, message: Message) -> None:
        """Queue a message."""
        with self._lock:
            if self.is_full:
                return
            self._waiting.append(message)
            self._waiting_bytes += len(message.body)
            if message.id:
                self._last = message.id
            if self._waiting_bytes > self._bytes_max:
                self.is_full = True
                self._waiting.clear()
                self._sent.clear()
            elif self._sent:
                self._forget()
            if self._is_woken and not self.is_full:
                return
            self._is_woken = True
        self._wake()

    def take(self, wake: Callable[[], None]) -> list[Message]:
        """What is to be sent now; nothing if `wake` is of a connection that it has left."""
        with self._lock:
            if wake != self._wake:
                return []
            taken = list(self._waiting)
            self._waiting.clear()
            if self.resumes:
                numbered = [message for message in taken if message.id]
                self._sent.extend(numbered)
                self._sent_bytes += sum(len(message.body) for message in numbered)
            self._waiting_bytes = 0
            self._is_woken = False
            self._forget()
        return taken

    def go_on(self, after: int, answers: list[Message], wake: Callable[[], None]) -> bool:
        """Continue on another connection behind message `after`, which has to be woken then.

        Args:
            after: number of the last message that the client has seen.
            answers: what it gets before the messages.
            wake: of the new connection.

        Returns:
            False when messages behind `after` are not there any more; nothing is changed then.
        """
        with self._lock:
            if self.is_full or not self._forgotten <= after <= self._last:
                return False
            again = [message for message in self._sent if message.id > after]
            self._waiting = deque([*answers, *again, *(m for m in self._waiting if m.id > after)])
            self._waiting_bytes = sum(len(message.body) for message in self._waiting)
            self._sent.clear()
            self._sent_bytes = 0
            self._forgotten = after
            self._wake = wake
            self._is_woken = True
        return True

    def _forget(self) -> None:
        """Drop what was sent longest ago, until all fits; call under the lock."""
        while self._sent and self._sent_bytes + self._waiting_bytes > self._bytes_max:
            message = self._sent.popleft()
            self._sent_bytes -= len(message.body)
            self._forgotten = max(self._forgotten, message.id)
