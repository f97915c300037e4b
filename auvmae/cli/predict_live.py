"""Predict live: rows of a camera, a pipe or a URL, as they come."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain, islice
from typing import TextIO

from ..inference.detector import AUDetector
from ..inference.prediction import AUPrediction, provenance_path
from ..system.files import replacing
from ..video.camera import AHEAD, Device, live_frames
from ..video.reading import Frame


def run_live(detector: AUDetector, name: str, output: str | None) -> int:
    """Predict a live source until it ends or Ctrl-C is pressed.

    Args:
        detector: predicts the rows.
        name: of the device, see `Device.of`.
        output: CSV file to write; standard output if None.

    Returns:
        The exit code.
    """
    device, stop = Device.of(name), threading.Event()

    def interrupt(*_: object) -> None:
        stop.set()  # what was seen before is still written; a second Ctrl-C does not wait for it
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, interrupt)
    print(f"{device.name}: rows come up to {detector.delay + AHEAD} frames late; Ctrl-C ends", file=sys.stderr)
    try:
        live = live_frames(device, stop.is_set)
        first = list(islice(live, 1))  # taken before there is a file: a device that does not open leaves none
        output = output if first else None
        # opened for writing only if there is none: a recording that cannot be repeated is not overwritten
        with open(output, "x", newline="", encoding="utf-8") if output else nullcontext(sys.stdout) as file:
            if output:
                with replacing(provenance_path(output)) as mark:
                    json.dump(detector.provenance([]) | {"source": {"name": device.name}}, mark, indent=1)
            frames, found = write_rows(detector, chain(first, live), file)
    except BrokenPipeError:  # who read the rows, `head` perhaps, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        signal.signal(signal.SIGINT, before)
    print(f"{frames} frames, {found / max(frames, 1):.1%} with a face", file=sys.stderr)
    return 0


def write_rows(detector: AUDetector, frames: Iterator[Frame], file: TextIO) -> tuple[int, int]:
    """Write a row as soon as it is known, in the columns and digits of `AUPrediction.to_dataframe`.

    Args:
        detector: predicts them, `detector.delay` frames behind.
        frames: as `live_frames` gives them.
        file: gets whole lines only.

    Returns:
        The number of frames, and of those with a face.
    """
    frames_done = frames_found = 0
    last = None
    for cropped, probs in detector.stream(frames):
        row = AUPrediction.collect([(cropped, probs)], detector.au_names, detector.thresholds, {})
        file.write(row.to_dataframe().to_csv(index=False, header=last is None, lineterminator="\n"))
        file.flush()
        if cropped.index != last:  # of several faces the first counts
            frames_done += 1
            frames_found += cropped.face is not None
        last = cropped.index
    return frames_done, frames_found
