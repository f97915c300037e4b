"""A stream that a thread of its own reads ahead, so that what makes its items works beside what uses them."""

import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")

POLL = 0.1
"""Seconds after which a thread that waits looks whether it is still wanted."""


def read_ahead(
    items: Generator[T, None, None], size: int, *, drop: bool = False, stopped: Callable[[], bool] = lambda: False
) -> Generator[T, None, None]:
    """Give the items of a stream, which a thread takes from it beforehand.

    The thread starts when the first item is asked for, and ends with the stream, or when what is returned is closed or
    stopped; it closes the stream.

    Args:
        items: read by the thread and by nobody else.
        size: so many items may wait at most.
        drop: if they do, the oldest is dropped, where otherwise the thread waits; for a camera, which does not wait.
        stopped: asked before each item, and while there is none: once it says so, the stream is over.

    Raises:
        BaseException: whatever `items` raises, after the items before it.
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
                    with suppress(Empty):  # it has been taken in the meantime
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
        # not for ever: nothing wakes a thread that reads a pipe into which nobody writes
        thread.join(timeout=1)


class _End:
    """Stands after the last item, with the error that ended the stream, if one did."""

    error: BaseException | None = None
