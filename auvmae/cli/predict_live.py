"""Predict a camera, a pipe or a URL live (`auvmae predict --webcam`)."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain, islice
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ..inference.detector import AUDetector
    from ..video.reading import Frame


def run_live(detector: "AUDetector", name: str, output: str | None) -> int:
    """Predict a live source until it ends or Ctrl-C is pressed.

    Args:
        detector: Detector that predicts the rows.
        name: Name of the device, see `Device.of`.
        output: CSV file to write; standard output if None.

    Returns:
        The exit code.
    """
    from ..inference.prediction import provenance_path
    from ..system.files import replacing
    from ..video.camera import AHEAD, Device, live_frames

    device, stop = Device.of(name), threading.Event()

    def interrupt(*_: object) -> None:
        stop.set()  # the frames read so far are still written; a second Ctrl-C does not wait for them
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, interrupt)
    print(f"{device.name}: rows are up to {detector.delay + AHEAD} frames late; press Ctrl-C to stop", file=sys.stderr)
    try:
        live = live_frames(device, stop.is_set)
        first = list(islice(live, 1))  # read before the file is created: a device that does not open leaves no file
        output = output if first else None
        # "x" refuses an existing file: a live recording cannot be repeated, so it is never overwritten
        with open(output, "x", newline="", encoding="utf-8") if output else nullcontext(sys.stdout) as file:
            if output:
                with replacing(provenance_path(output)) as mark:
                    json.dump(detector.provenance([]) | {"source": {"name": device.name}}, mark, indent=1)
            frames, found = write_rows(detector, chain(first, live), file)
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        signal.signal(signal.SIGINT, before)
    print(f"{frames} frames, {found / max(frames, 1):.1%} with a face", file=sys.stderr)
    return 0


def write_rows(detector: "AUDetector", frames: "Iterator[Frame]", file: TextIO) -> tuple[int, int]:
    """Write each row as soon as it is known.

    Columns and digits are those of `AUPrediction.to_dataframe`.

    Args:
        detector: Detector that predicts the rows, `detector.delay` frames behind.
        frames: Frames from `live_frames`.
        file: Text file that receives whole lines only.

    Returns:
        The number of frames, and the number of frames with a face.
    """
    from ..inference.prediction import AUPrediction

    frames_done = frames_found = 0
    last = None
    provenance = detector.provenance([])
    for cropped, values in detector.stream(frames):
        row = AUPrediction.collect(
            [(cropped, values)], detector.au_names, detector.thresholds, provenance, detector.values
        )
        file.write(row.to_dataframe().to_csv(index=False, header=last is None, lineterminator="\n"))
        file.flush()
        if cropped.index != last:  # only the first face of a frame counts
            frames_done += 1
            frames_found += cropped.face is not None
        last = cropped.index
    return frames_done, frames_found
