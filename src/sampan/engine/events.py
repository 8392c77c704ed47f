"""What happened: a bounded ring of events and whoever listens, in dockerd's words and order.

What is older than the ring is in the log on disk (`eventlog.py`), where the ring comes from at a start.

Out of scope: who emits what (the verbs and the actor).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from sampan.engine import filters as rules
from sampan.engine.event import Event as Event
from sampan.engine.eventlog import EventLog
from sampan.engine.filters import Filters
from sampan.errors import Unavailable

RING = 4096  # dockerd keeps 256; with more, a reader that comes back after a while finds its events
BACKLOG = 8192  # events of one slow reader, who is cut off beyond it

_ACCEPTED = """
    config container daemon event image label network node plugin scope secret service type volume
"""
ACCEPTED = frozenset(_ACCEPTED.strip().split(" "))
# Their actions carry a text after a colon ("exec_start: sh"), so they are matched by their beginning.
_WITH_TEXT = ("exec_create", "exec_start", "health_status")


class Subscription:
    """`async for event in subscription`; ends at `until`. Raises Unavailable when its reader was too slow.

    `close()` when done; it may be called at any time."""

    def __init__(self, events: Events, filters: Filters, until: int) -> None:
        self._events = events
        self._filters = filters
        self._until = until
        self._queue: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._overflown = False
        self._closed = False

    def offer(self, event: Event, *, past: bool = False) -> None:
        """`past`: of those that it begins with, however many they are."""
        if (self._until and event.time > self._until) or not matches(event, self._filters):
            return
        if len(self._queue) >= BACKLOG and not past:
            self._overflown = True
        else:
            self._queue.append(event)
        self._wake.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._overflown:
                raise Unavailable("the reader of events is too slow: events were lost")
            if self._closed or not await self._wait():
                raise StopAsyncIteration
        return self._queue.popleft()

    async def _wait(self) -> bool:
        """False when `until` is over."""
        self._wake.clear()
        if not self._until:
            await self._wake.wait()
            return True
        try:
            async with asyncio.timeout((self._until - self._events.now()) / 1e9):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        self._events.forget(self)


class Events:
    def __init__(
        self, now: Callable[[], int], *, size: int = RING, log: EventLog | None = None
    ) -> None:
        self.now = now
        self._log = log
        self._ring: deque[Event] = deque(log.events() if log else (), maxlen=size)
        self._last = log.last.time if log and log.last else 0
        self._whole = log is None or len(self._ring) < size  # nothing is older than what is in it
        self._subscriptions: set[Subscription] = set()

    def emit(
        self, kind: str, action: str, actor: str, attributes: Mapping[str, str] | None = None
    ) -> Event:
        # Strictly growing, so that `since` with the time of the last event seen misses none.
        self._last = max(self.now(), self._last + 1)
        event = Event(kind, action, actor, dict(attributes or {}), self._last)
        self._whole = self._whole and len(self._ring) < (self._ring.maxlen or 0)
        self._ring.append(event)
        if self._log is not None:
            self._log.append(event)
        for subscription in list(self._subscriptions):
            subscription.offer(event)
        return event

    def subscribe(
        self, *, since: int = 0, until: int = 0, filters: Filters | None = None
    ) -> Subscription:
        """Events from `since` on (0: from now on) to `until` (0: for ever), times in nanoseconds.

        Raises InvalidParameter."""
        filters = filters or {}
        rules.check_filters(filters, ACCEPTED)
        subscription = Subscription(self, filters, until)
        if since or until:
            for event in self._past(since):
                if event.time >= since:
                    subscription.offer(event, past=True)
        self._subscriptions.add(subscription)
        return subscription

    def _past(self, since: int) -> Iterable[Event]:
        if self._log is None or self._whole or not self._ring or self._ring[0].time <= since:
            return self._ring
        return self._log.events(since)

    def forget(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Nothing is emitted any more."""
        if self._log is not None:
            self._log.close()

    @property
    def listeners(self) -> int:
        return len(self._subscriptions)


def matches(event: Event, filters: Filters) -> bool:
    return (
        _action_matches(event.action, filters)
        and rules.exact(filters, "type", event.type)
        and rules.exact(filters, "scope", event.scope)
        and all(
            _thing_matches(event, filters, kind)
            for kind in filters
            if kind not in ("event", "type", "scope", "label", "image")
        )
        and _image_matches(event, filters)
        and rules.labels_hold(filters, "label", event.attributes)
    )


def _action_matches(action: str, filters: Filters) -> bool:
    wanted = filters.get("event")
    if not wanted:
        return True
    return action in wanted or action.partition(":")[0] in set(wanted) & set(_WITH_TEXT)


def _thing_matches(event: Event, filters: Filters, kind: str) -> bool:
    if event.type != kind:
        return False
    return rules.prefix(filters, kind, event.actor, event.attributes.get("name", ""))


def _image_matches(event: Event, filters: Filters) -> bool:
    wanted = filters.get("image")
    if not wanted:
        return True
    key = "name" if event.type == "image" else "image"
    names = {event.actor, event.attributes.get(key, "")}
    names |= {name.rpartition(":")[0] for name in names if ":" in name.rpartition("/")[2]}
    return not names.isdisjoint(name for name in wanted if name)
