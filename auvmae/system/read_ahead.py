"""Prefetch an iterator in a background thread, to overlap producer and consumer."""

import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")

POLL = 0.1
"""Seconds after which a waiting thread checks whether it should stop."""


def read_ahead(
    items: Generator[T, None, None], size: int, *, drop: bool = False, stopped: Callable[[], bool] = lambda: False
) -> Generator[T, None, None]:
    """Prefetch the items of a generator in a background thread.

    The thread starts when the first item is requested. It ends when `items` is exhausted, or when the returned
    generator is closed or stopped, and it closes `items`.

    Args:
        items: Generator to read; only the thread may use it.
        size: Maximum number of prefetched items.
        drop: Drop the oldest item when the buffer is full, as for a camera. By default the thread waits.
        stopped: Checked before every item and while waiting for one; the stream ends once this returns True.

    Raises:
        BaseException: Any error that `items` raises, after the items that precede it.
    """
    waiting: Queue[T | _End] = Queue(size)
    unwanted = threading.Event()

    def put(item: T | _End) -> bool:
        while not unwanted.is_set():
            try:
                waiting.put(item, timeout=0 if drop else POLL)
                return True
            except Full:
                if drop:
                    with suppress(Empty):  # the consumer has emptied the queue in the meantime
                        waiting.get_nowait()
        return False

    def read() -> None:
        end = _End()
        try:
            with closing(items):
                for item in items:
                    if not put(item):
                        break
        except BaseException as error:
            end.error = error
        put(end)

    thread = threading.Thread(target=read, name="auvmae.read_ahead", daemon=True)
    thread.start()
    try:
        while not stopped():
            try:
                item = waiting.get(timeout=POLL)
            except Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        unwanted.set()
        # with a timeout: nothing wakes a thread that reads from a pipe without a writer
        thread.join(timeout=1)


class _End:
    """Mark the end of the stream, with the error that ended it, if any."""

    error: BaseException | None = None
