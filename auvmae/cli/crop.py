"""`auvmae crop IN OUT`: faces found, aligned and cropped, as videos with an index beside them."""

import argparse
import sys
from pathlib import Path

from ..faces.crop import CropRecipe

HELP = "find, align and crop the faces of videos"

DESCRIPTION = """\
Find the face in every frame, align it and crop it. OUT mirrors IN: A/B.avi gives A/B.mp4, and a folder of numbered
images F001/T1/ gives F001/T1.mp4. Frame i of a crop is frame i of its input, also where no face was found: there the
crop before is repeated, and X.faces.csv beside X.mp4 (frame, timestamp, box, landmarks, confidence, found) says so.
The data sets take OUT in place of the folder of raw videos. Run it again to go on after an interruption: finished
crops are skipped, unless the recipe or the input has changed. OUT/crop_report.json lists what failed, and why.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `auvmae crop`."""
    parser.add_argument("input", metavar="IN", help="a folder, searched to its depths, or one video")
    parser.add_argument("output", metavar="OUT", help="the folder to write to")
    defaults = CropRecipe()
    for name, kind, text in (
        ("size", int, "side of the square crops in pixels, even"),
        ("margin", float, "what is added on each side, as a share of the tight crop (brows to chin)"),
        ("detector", str, "face detector"),
        ("face", str, "which face: `tracked` follows one, and changes only once it is lost; `largest` of each frame"),
        (
            "search",
            str,
            "`near` where a followed face was, and in the whole frame if it is not there; `frame`: always there",
        ),
        ("detect_every", int, "detect in every k-th frame, and in those between where the face comes, goes or jumps"),
        ("max_gap", int, "a face that is lost for at most so many frames was there all the time"),
        ("smoothing", float, "standard deviation in frames of the smoothing over time, 0 for none"),
        ("min_confidence", float, "ignore detections below this confidence"),
        ("min_face", float, "height of the smallest face to look for, as a share of the frame's shorter side"),
    ):
        default = getattr(defaults, name)
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{text} (default: {default})")
    parser.add_argument("--num_proc", type=int, help="number of processes (default: one per processor)")


def run(arguments: argparse.Namespace) -> int:
    """Crop, print a summary, and give the exit code: 0 if no video failed."""
    from ..faces.crop_folder import REPORT_FILE, crop_folder
    from ..system.folder_report import print_summary

    fields = {name: getattr(arguments, name) for name in CropRecipe().to_dict()}
    try:
        results = crop_folder(arguments.input, arguments.output, CropRecipe(**fields), arguments.num_proc)
    except (ValueError, OSError, ImportError) as error:
        print(f"auvmae crop: {error}", file=sys.stderr)
        return 2
    return print_summary(results, "cropped", Path(arguments.output, REPORT_FILE))
