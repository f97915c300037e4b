"""Predict recordings, and write tables, events and figures (`auvmae predict`)."""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain, islice
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, TextIO

from ..system.endings import failed
from ..system.settings import at_least_one
from ..weights import DEFAULT_MODEL, describe_checks, packaged_checks

if TYPE_CHECKING:
    from ..inference.detector import AUDetector
    from ..video.reading import Frame

HELP = "detect action units in videos"

DESCRIPTION = """\
Detect action units in every frame of one or more recordings.

Faces are detected, tracked and cropped in the same way as the model's training
data. The model predicts overlapping windows, which are then blended. For each
recording X, OUT contains:
  X.csv              one row per frame and face: frame (from 0), face_id,
                     timestamp (from the file, in seconds), confidence,
                     success, AU01_c ... (0 or 1), AU01_p ... (probability),
                     AU01_r ... (intensity, 0 to 5, if the model grades it),
                     and the box of the face. A frame without a face has
                     success 0, face_id -1, and neither AUs nor a box.
  X.provenance.json  the model, options and versions behind the rows
OUT keeps the folder structure of the inputs. OUT/predict_report.json lists the
recordings that failed or are incomplete, and why. Run the command again to
resume after an interruption: recordings that were finished with the same model
and options are skipped. The exit code is 0 if all is well, 1 if a recording
failed, 2 if nothing could start, and 3 if every recording has a table, but some
are damaged, cut off, or lack a file that was asked for.

With --webcam, the rows of a camera, a pipe or a URL are written live, to the
file OUT or to standard output, until the source ends or you press Ctrl-C.
Tracking, windows and the frame queue delay each row by a number of frames,
which is printed at the start. Frames are dropped if the model cannot keep up,
and their numbers are then missing.

Without --model, the packaged model predicts. It was trained on portraits that
a face rig moved, and on no recording of a person.
""" + fill(describe_checks(packaged_checks()), 79)

OPTIONS = (
    *("level", "clip_stride", "batch_size", "threshold", "every_face"),
    *("all_aus", "cropped", "damaged", "device", "dtype"),
)
"""Arguments that are options of `AUDetector.from_pretrained`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae predict`."""
    parser.add_argument(
        "inputs",
        metavar="VIDEO",
        nargs="*",
        help="videos, folders (searched recursively), patterns such as 'in/**/*.mp4', or - to read their names from "
        "standard input, one a line",
    )
    parser.add_argument(
        "-m",
        "--model",
        default=DEFAULT_MODEL,
        help="fine-tuned checkpoint: a folder, a name on the Hub, or an .onnx file of `auvmae export` (default: "
        f"{DEFAULT_MODEL}, the packaged model)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="output folder; with --webcam, the CSV file to write (default: standard output)",
    )
    parser.add_argument(
        "--webcam",
        metavar="DEVICE",
        nargs="?",
        const="",
        help="predict live: a camera, by its number or device (default: the first one), - for standard input, or any "
        "source that FFmpeg opens",
    )
    parser.add_argument(
        "--format", choices=("csv", "parquet"), default="csv", help="file format of the tables (default: csv)"
    )
    for name, text in (
        ("events", "write X.events.csv and X.eaf (for ELAN): onset, apex, offset, duration and mean probability"),
        ("timeline", "write X.timeline.png: the probabilities over time"),
        ("overlay", "write X.overlay.mp4: the recording with face boxes and AU bars"),
        ("cropped", "treat the recordings as face crops; their index from `auvmae crop` is used if it exists"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument(
        "--every-face", "--every_face", action="store_true", help="predict all faces of a frame, not just one"
    )
    parser.add_argument(
        "--all-aus",
        "--all_aus",
        action="store_true",
        help="write all action units, including those that failed their check on real faces",
    )
    parser.add_argument(
        "--level",
        choices=("video", "frame", "patch"),
        help="input level: every frame (video), every 4th frame (frame), or half of the patches masked (patch) "
        "(default: the level of training)",
    )
    parser.add_argument(
        "--clip_stride", type=int, help="frames between the starts of two windows (default: half a window)"
    )
    parser.add_argument(
        "--batch_size", type=int, default=8, help="windows per batch; does not change the results (default: 8)"
    )
    parser.add_argument(
        "--threshold", type=float, help="lowest probability at which an AU counts as present (default: the model's)"
    )
    parser.add_argument(
        "--start",
        type=_time,
        default=0.0,
        help="predict from this time on: seconds or hh:mm:ss (default: the beginning)",
    )
    parser.add_argument("--stop", type=_time, help="predict up to this time: seconds or hh:mm:ss (default: the end)")
    parser.add_argument(
        "--every",
        metavar="N",
        type=at_least_one,
        default=1,
        help="predict one frame in N, which is faster; the model sees a lower frame rate (default: 1)",
    )
    calibration = parser.add_mutually_exclusive_group()
    calibration.add_argument(
        "--neutral",
        metavar="START:STOP",
        type=_stretch,
        help="interval in seconds with a neutral face, e.g. 2:4.5: AUs that come near the threshold there are lowered "
        "throughout, in logits. AU01_p ... are then calibrated, AU01_raw ... are not (default: off)",
    )
    calibration.add_argument(
        "--calibrate_quantile",
        metavar="Q",
        type=float,
        help="calibrate like --neutral, with this quantile of the logits as the neutral face, e.g. 0.1 (default: off)",
    )
    parser.add_argument(
        "--damaged",
        choices=("skip", "stop"),
        default="skip",
        help="skip: a damaged frame gets a row without a face, and a file that is cut off is predicted as far as it "
        "goes; stop: such a recording fails (default: skip)",
    )
    parser.add_argument("--device", help='device of the model, e.g. "cpu" or "cuda:0" (default: a GPU if available)')
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="data type of the model (default: bfloat16 on a processor that supports it, else float32)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Predict the recordings, print a summary and return the exit code.

    The exit code is 0 if all is well, 1 if a recording failed, 2 if prediction could not start, and 3 if all recordings
    have a table, but some are damaged, cut off or lack a file that was asked for.
    """
    from ..inference.calibration import Calibration
    from ..inference.detector import AUDetector
    from ..inference.predict_folder import FILES, REPORT_FILE, predict_folder
    from ..system.folder_report import print_summary
    from ..system.hardware import keep_freed_memory
    from ..video.selection import FrameSelection

    keep_freed_memory()
    options = {name: getattr(arguments, name) for name in OPTIONS}
    extras = [extra for extra in FILES if getattr(arguments, extra)]
    try:
        if arguments.neutral or arguments.calibrate_quantile is not None:
            options["calibration"] = Calibration(arguments.neutral, arguments.calibrate_quantile)
        options["selection"] = FrameSelection(arguments.start, arguments.stop, arguments.every)
        _check(arguments, extras)
        detector = AUDetector.from_pretrained(arguments.model, **options)
        if arguments.webcam is not None:
            return _run_live(detector, arguments.webcam, arguments.output)
        results = predict_folder(detector, _read_inputs(arguments.inputs), arguments.output, arguments.format, extras)
    except (ValueError, OSError, ImportError) as error:
        return failed("auvmae predict", error)
    return print_summary(results, "predicted", Path(arguments.output, REPORT_FILE))


def _run_live(detector: "AUDetector", name: str, output: str | None) -> int:
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
    for cropped, values in detector.stream(frames):
        row = AUPrediction.collect([(cropped, values)], detector.au_names, detector.thresholds, {}, detector.grades)
        file.write(row.to_dataframe().to_csv(index=False, header=last is None, lineterminator="\n"))
        file.flush()
        if cropped.index != last:  # only the first face of a frame counts
            frames_done += 1
            frames_found += cropped.face is not None
        last = cropped.index
    return frames_done, frames_found


def _read_inputs(inputs: list[str]) -> list[str]:
    """Replace "-" by the lines of standard input."""
    if "-" not in inputs:
        return inputs
    # file names need not be UTF-8, and may hold any character but this one
    listed = [line for line in os.fsdecode(sys.stdin.buffer.read()).split("\n") if line.strip()]
    if not listed:
        raise ValueError("standard input lists no video; write one path a line, as `find` does")
    return [line for given in inputs for line in (listed if given == "-" else [given])]


def _stretch(text: str) -> tuple[float, float]:
    try:
        start, stop = map(float, text.split(":"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected START:STOP in seconds, such as 2:4.5, found {text!r}") from error
    return start, stop


def _time(text: str) -> float:
    from ..video.selection import parse_time

    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _check(arguments: argparse.Namespace, extras: list[str]) -> None:
    if arguments.webcam is None:
        if not arguments.inputs or not arguments.output:
            raise ValueError("name the videos and the output folder (-o), or use --webcam")
    elif arguments.start or arguments.stop is not None:
        raise ValueError("--webcam predicts until you stop it: omit --start and --stop")
    elif arguments.inputs or extras or arguments.format != "csv":
        raise ValueError(
            "--webcam writes the rows of one device as CSV: omit VIDEO, --format, --events, --timeline, --overlay"
        )
    elif arguments.neutral or arguments.calibrate_quantile is not None:
        raise ValueError(
            "calibration needs a whole recording: omit it with --webcam, or record first and predict later"
        )
