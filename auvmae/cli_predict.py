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
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `auvmae predict`."""
    parser.add_argument("inputs", metavar="VIDEO", nargs="+", help="videos, folders, or patterns such as 'in/**/*.mp4'")
    parser.add_argument(
        "-m",
        "--model",
        required=True,
        help="a fine-tuned checkpoint: a folder, or a name on the Hub; or an .onnx file of `auvmae export`",
    )
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the folder to write to")
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
    parser.add_argument("--device", help='e.g. "cpu" or "cuda:0" (default: a GPU if there is one)')
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="(default: float32)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Predict, print a summary, and give the exit code: 0 if no recording failed, 2 if nothing could begin."""
    from .cli_folder import print_summary
    from .detector import AUDetector
    from .predict_folder import FILES, REPORT_FILE, predict_folder

    names = ("level", "clip_stride", "batch_size", "threshold", "every_face", "cropped", "device", "dtype")
    try:
        detector = AUDetector.from_pretrained(arguments.model, **{name: getattr(arguments, name) for name in names})
        extras = [extra for extra in FILES if getattr(arguments, extra)]
        results = predict_folder(detector, arguments.inputs, arguments.output, arguments.format, extras)
    except (ValueError, OSError, ImportError) as error:
        print(f"auvmae predict: {error}", file=sys.stderr)
        return 2
    return print_summary(results, "predicted", Path(arguments.output, REPORT_FILE))
