"""Time calls, as several benchmarks do."""

import time
from collections.abc import Callable
from typing import Any


def seconds(function: Callable[[], Any]) -> float:
    """Measure the wall time of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
