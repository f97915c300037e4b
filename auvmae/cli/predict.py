"""Predict recordings, and write tables, events and figures (`auvmae predict`)."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, TypeVar

from ..system.endings import failed
from ..system.ranks import ALONE, Split, read_split
from ..system.settings import at_least_one
from ..weights import DEFAULT_MODEL, describe_checks, packaged_checks

if TYPE_CHECKING:
    from ..inference.calibration import Calibration
    from ..inference.detector import AUDetector
    from ..system.folder_report import VideoResult

Parsed = TypeVar("Parsed")

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
                     AU01_L_r and AU01_R_r ... (likewise, of the subject's left
                     and right side, with --sides), pose and in_range of the head
                     and the box of the face. A frame without a face has
                     success 0, face_id -1, and neither AUs nor a box.
  X.provenance.json  the model, options and versions behind the rows
--format openface and --format feat write X.openface.csv and X.feat.csv instead
of X.csv, for programs that read the tables of OpenFace 2 or Py-Feat.
OUT keeps the folder structure of the inputs. OUT/predict_report.json lists the
recordings that failed or are incomplete, and why. Run the command again to
resume after an interruption: recordings that were finished with the same model
and options are skipped. The exit code is 0 if all is well, 1 if a recording
failed, 2 if nothing could start, and 3 if every recording has a table, but some
are damaged, cut off, or lack a file that was asked for.

Under torchrun, accelerate launch, srun or in a SLURM array, each process does
its share of the recordings, and the outputs are those of one process.

With --webcam, the rows of a camera, a pipe or a URL are written live, to the
file OUT or to standard output, until the source ends or you press Ctrl-C.
Tracking, windows and the frame queue delay each row by a number of frames,
which is printed at the start. Frames are dropped if the model cannot keep up,
and their numbers are then missing.

Without --model, the packaged model predicts. It was trained on portraits that
a face rig moved, and on no recording of a person.
""" + fill(describe_checks(packaged_checks()), 79)

UNGRADED = """\
This model grades no intensities, so the tables have no AU01_r ... for readers
of OpenFace. A probability is no intensity: read AU01_c ... instead.
"""

OPTIONS = (
    *("level", "clip_stride", "batch_size", "threshold", "every_face"),
    *("all_aus", "sides", "cropped", "damaged", "device", "dtype", "engine"),
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
        "--table",
        metavar="TABLE",
        help="CSV file that lists the videos instead of VIDEO: the column file, and optionally name (of the outputs), "
        "start, stop, every and neutral, which replace the options of the same names",
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
        "--format",
        choices=("csv", "parquet", "openface", "feat"),
        default="csv",
        help="format of the tables: X.csv, X.parquet, X.openface.csv with the columns of OpenFace 2, or X.feat.csv for "
        "Py-Feat's read_feat (default: csv)",
    )
    for name, text in (
        ("events", "write X.events.csv and X.eaf (for ELAN): onset, apex, offset, duration and mean probability"),
        ("timeline", "write X.timeline.png: the probabilities over time"),
        ("overlay", "write X.overlay.mp4: the recording with face boxes and AU bars"),
        ("cropped", "treat the recordings as face crops; their index from `auvmae crop` is used if it exists"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=text)
    faces = parser.add_mutually_exclusive_group()
    faces.add_argument(
        "--faces",
        type=_faces,
        default=0,
        metavar="{all,largest,N}",
        help="faces to predict in each frame: all, the largest, or the N largest (default: the one that is tracked)",
    )
    faces.add_argument(
        "--every-face", "--every_face", action="store_true", help="predict all faces of each frame, like --faces all"
    )
    parser.add_argument(
        "--all-aus",
        "--all_aus",
        action="store_true",
        help="write all action units, including those that failed their check on real faces",
    )
    parser.add_argument(
        "--sides",
        action="store_true",
        help="write the intensity of the subject's left and right side as well; the model then takes three times as "
        "long. Action units whose difference failed its check on real faces are left out, unless --all-aus is given",
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
    parser.add_argument(
        "--neutral",
        metavar="{START:STOP,auto,auto:Q}",
        type=_neutral,
        help="interval in seconds with a neutral face, e.g. 2:4.5: AUs that come near the threshold there are lowered "
        "throughout, in logits. AU01_p ... are then calibrated, AU01_raw ... are not. auto takes a low quantile of "
        "each AU's logits as the neutral face, auto:Q the quantile Q (default: off)",
    )
    parser.add_argument(
        "--neutral-from",
        "--neutral_from",
        metavar="TABLE",
        help="CSV file with the columns file, person, from and to: one neutral face for all files of a person. It is "
        "the mean over the intervals of all rows, as in --neutral START:STOP; without any, as in --neutral auto "
        "(default: off)",
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
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "openvino", "onnx"),
        default="auto",
        help="runtime of the model: openvino is faster for large models on x86 processors; onnx runs exported files "
        "only (default: openvino on an x86 processor where it is installed, else torch)",
    )
    parser.add_argument(
        "--threads",
        type=at_least_one,
        help="threads of the model, and of face detection up to four (default: OMP_NUM_THREADS, else one per CPU that "
        "affinity and container leave to the process)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Predict the recordings, print a summary and return the exit code.

    The exit code is 0 if all is well, 1 if a recording failed, 2 if prediction could not start, and 3 if all recordings
    have a table, but some are damaged, cut off or lack a file that was asked for.
    """
    from ..inference.detector import AUDetector
    from ..inference.people.predict_people import count_baselines
    from ..inference.predict_folder import FILES, REPORT_FILE
    from ..system.cpus import set_threads
    from ..system.folder_report import print_summary
    from ..system.hardware import keep_freed_memory
    from ..system.ranks import ending_together
    from ..video.selection import FrameSelection
    from .predict_live import run_live

    keep_freed_memory()
    set_threads(arguments.threads)
    options = {name: getattr(arguments, name) for name in OPTIONS}
    extras = [extra for extra in FILES if getattr(arguments, extra)]
    try:
        options["calibration"] = arguments.neutral
        if arguments.faces != 0:
            options |= {"every_face": True, "max_faces": arguments.faces}
        options["selection"] = FrameSelection(arguments.start, arguments.stop, arguments.every)
        split = ALONE if arguments.webcam is not None else read_split()
        _check(arguments, extras, split)
        detector = AUDetector.from_pretrained(arguments.model, **options)
        if arguments.webcam is not None:
            return run_live(detector, arguments.webcam, arguments.output)
        if arguments.format == "openface" and not detector.grades:
            print(UNGRADED, file=sys.stderr)
        if arguments.sides:
            print(_describe_sides(detector), file=sys.stderr)
        with ending_together(split):
            results = _predict(detector, arguments, extras, split)
    except (ValueError, OSError, ImportError) as error:
        return failed("auvmae predict", error)
    report = Path(arguments.output, REPORT_FILE)
    code = print_summary(results, "written" if arguments.neutral_from else "predicted", report)
    if arguments.neutral_from:
        print(count_baselines(report))
    return code


def _predict(
    detector: "AUDetector", arguments: argparse.Namespace, extras: list[str], split: Split
) -> "list[VideoResult]":
    """Predict the recordings that the arguments name, or the share of this process."""
    from ..inference.people.predict_people import predict_people
    from ..inference.predict_folder import predict_recordings
    from ..inference.recordings import find_recordings, read_recordings
    from ..video.finding import LeftOut

    output, left_out = Path(arguments.output), list[LeftOut]()
    if arguments.table is None:
        found = find_recordings(_read_inputs(arguments.inputs), output, left_out)
        recordings = [(detector, *recording) for recording in found]
    else:
        rows = read_recordings(Path(arguments.table), output, detector.selection, detector.calibration)
        recordings = [
            (detector.with_options(selection, calibration), video, target)
            for video, target, selection, calibration in rows
        ]
    if arguments.neutral_from is None:
        return predict_recordings(recordings, output, arguments.format, extras, left_out, split)
    return predict_people(recordings, output, arguments.neutral_from, arguments.format, extras, left_out)


def _describe_sides(detector: "AUDetector") -> str:
    """List the action units with sides, and what is known of them."""
    found = detector.side_checks
    missing = ", ".join(name for name in detector.au_names if name not in found)
    text = f"Sides: {', '.join(found) or 'none'}." + (f" Without sides: {missing}." if missing else "")
    return f"{text} {describe_checks(found)}".strip()


def _read_inputs(inputs: list[str]) -> list[str]:
    """Replace "-" by the lines of standard input."""
    if "-" not in inputs:
        return inputs
    # file names need not be UTF-8, and may hold any character but this one
    listed = [line for line in os.fsdecode(sys.stdin.buffer.read()).split("\n") if line.strip()]
    if not listed:
        raise ValueError("standard input lists no video; write one path a line, as `find` does")
    return [line for given in inputs for line in (listed if given == "-" else [given])]


def _neutral(text: str) -> "Calibration":
    from ..inference.calibration import parse_neutral

    return _parse(parse_neutral, text)


def _time(text: str) -> float:
    from ..video.selection import parse_time

    return _parse(parse_time, text)


def _faces(text: str) -> int | None:
    """Return how many faces to predict, None for all."""
    if text == "all":
        return None
    number = "1" if text == "largest" else text
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"expected all, largest or a number of faces, found {text!r}")
    return int(number)


def _parse(parse: Callable[[str], Parsed], text: str) -> Parsed:
    """Parse an argument, and report an error as argparse does."""
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _check(arguments: argparse.Namespace, extras: list[str], split: Split) -> None:
    from ..inference.formats.tables import FOREIGN

    if arguments.sides and arguments.format in FOREIGN:
        raise ValueError(f"--format {arguments.format} has no columns for --sides; write csv or parquet")
    if arguments.neutral_from and split.world > 1:
        raise ValueError(
            f"--neutral-from needs all tables, and {split.names} split this run: predict without it first, and then in "
            "one process with it, which reads the finished tables"
        )
    if arguments.webcam is None:
        if not (arguments.inputs or arguments.table) or not arguments.output:
            raise ValueError("name the videos (or --table) and the output folder (-o), or use --webcam")
        if arguments.inputs and arguments.table:
            raise ValueError("--table lists the videos, so omit VIDEO")
    elif arguments.start or arguments.stop is not None:
        raise ValueError("--webcam predicts until you stop it: omit --start and --stop")
    elif arguments.inputs or arguments.table or extras or arguments.format != "csv":
        raise ValueError(
            "--webcam writes the rows of one device as CSV: omit VIDEO, --table, --format, --events, --timeline and "
            "--overlay"
        )
    elif arguments.neutral or arguments.neutral_from:
        raise ValueError(
            "calibration needs a whole recording: omit it with --webcam, or record first and predict later"
        )
