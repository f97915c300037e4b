"""`auvmae predict VIDEO ... -m MODEL -o OUT`: from recordings to tables, events and pictures."""

import argparse
import sys
from pathlib import Path

HELP = "detect the action units in videos"

DESCRIPTION = """\
Detect the action units in every frame of recordings. Faces are found, followed and cropped as the model's training data
were; windows overlap and are blended. OUT/X.csv has a row per frame and face: frame (from 0), face_id, timestamp
(the file's own, in seconds), confidence, success, AU01_c ... (0 or 1), AU01_p ... (probability), and the face's box.
Frames without a face have success 0, face_id -1 and no values. X.provenance.json says how the rows came about. Folders
keep their shape. Run it again to go on after an interruption: what is finished, with the same model and options, is
skipped. OUT/predict_report.json lists what failed, and why.

With --webcam the rows of a camera, a pipe or a URL are written as they come, to the file OUT or to standard output,
until it ends or Ctrl-C is pressed. A row is late by the frames that tracking, a window and the queue need (printed at
the start); frames for which there is no time are left out, their numbers are missing.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `auvmae predict`."""
    parser.add_argument("inputs", metavar="VIDEO", nargs="*", help="videos, folders, or patterns such as 'in/**/*.mp4'")
    parser.add_argument(
        "-m",
        "--model",
        required=True,
        help="a fine-tuned checkpoint: a folder, or a name on the Hub; or an .onnx file of `auvmae export`",
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="the folder to write to; with --webcam the CSV (default: standard output)"
    )
    parser.add_argument(
        "--webcam",
        metavar="DEVICE",
        nargs="?",
        const="",
        help="predict live: a camera (default: the first; or its number or device), - for standard input, or whatever "
        "FFmpeg opens",
    )
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv", help="of the tables (default: csv)")
    for name, text in (
        ("events", "also X.events.csv and X.eaf (for ELAN): onset, apex, offset, duration, mean probability"),
        ("timeline", "also X.timeline.png: the probabilities over time"),
        ("overlay", "also X.overlay.mp4: the recording with boxes and bars drawn on it"),
        ("cropped", "the videos are face crops already; the index that `auvmae crop` wrote is used where it is there"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--every-face", "--every_face", action="store_true", help="rows for all faces, not for one")
    parser.add_argument(
        "--level",
        choices=("video", "frame", "patch"),
        help="every frame, every 4th, or half of the patches enters (default: as the model was trained)",
    )
    parser.add_argument("--clip_stride", type=int, help="frames from window to window (default: half a window)")
    parser.add_argument("--batch_size", type=int, default=8, help="windows at once; changes no result (default: 8)")
    parser.add_argument(
        "--threshold", type=float, help="probability from which an AU is present (default: the model's)"
    )
    calibration = parser.add_mutually_exclusive_group()
    calibration.add_argument(
        "--neutral",
        metavar="START:STOP",
        type=_stretch,
        help="seconds in which the face is at rest: what the model sees in it is taken off, in logits, where it comes "
        "near the threshold; AU01_p ... are calibrated then, AU01_raw ... are not (default: off)",
    )
    calibration.add_argument(
        "--calibrate_quantile",
        metavar="Q",
        type=float,
        help="the same, with this quantile of a face's logits taken for rest, e.g. 0.1 (default: off)",
    )
    parser.add_argument("--device", help='e.g. "cpu" or "cuda:0" (default: a GPU if there is one)')
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="(default: bfloat16 on a processor that has it, else float32)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Predict, print a summary, and give the exit code: 0 if no recording failed, 2 if nothing could begin."""
    from ..inference.calibration import Calibration
    from ..inference.detector import AUDetector
    from ..inference.predict_folder import FILES, REPORT_FILE, predict_folder
    from ..system.folder_report import print_summary
    from ..system.hardware import keep_freed_memory

    keep_freed_memory()
    names = ("level", "clip_stride", "batch_size", "threshold", "every_face", "cropped", "device", "dtype")
    options = {name: getattr(arguments, name) for name in names}
    extras = [extra for extra in FILES if getattr(arguments, extra)]
    try:
        if arguments.neutral or arguments.calibrate_quantile is not None:
            options["calibration"] = Calibration(arguments.neutral, arguments.calibrate_quantile)
        _check(arguments, extras)
        detector = AUDetector.from_pretrained(arguments.model, **options)
        if arguments.webcam is not None:
            from .predict_live import run_live

            return run_live(detector, arguments.webcam, arguments.output)
        results = predict_folder(detector, arguments.inputs, arguments.output, arguments.format, extras)
    except (ValueError, OSError, ImportError) as error:
        print(f"auvmae predict: {error}", file=sys.stderr)
        return 2
    return print_summary(results, "predicted", Path(arguments.output, REPORT_FILE))


def _stretch(text: str) -> tuple[float, float]:
    try:
        start, stop = map(float, text.split(":"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"START:STOP in seconds is wanted, such as 2:4.5, found {text!r}") from error
    return start, stop


def _check(arguments: argparse.Namespace, extras: list[str]) -> None:
    if arguments.webcam is None:
        if not arguments.inputs or not arguments.output:
            raise ValueError("name the videos and, with -o, the folder to write to; or --webcam")
    elif arguments.inputs or extras or arguments.format != "csv":
        raise ValueError("--webcam writes the rows of one device as CSV: no VIDEO, --events, --timeline or --overlay")
    elif arguments.neutral or arguments.calibrate_quantile is not None:
        raise ValueError("a calibration needs the whole recording: leave it out, or record first and predict then")
