"""Crop the faces of videos, and index the crops (`auvmae crop`)."""

import argparse
from pathlib import Path

from ..faces.crop import CropRecipe
from ..system.endings import failed
from ..system.settings import at_least_one

HELP = "detect, align and crop the faces in videos"

DESCRIPTION = """\
Detect the face in every frame of a video, align it and crop it.

OUT mirrors the folders of IN: A/B.avi becomes A/B.mp4, and a folder of
numbered images F001/T1/ becomes F001/T1.mp4. Frame i of a crop is frame i of
its input. Where no face is found, the previous crop is repeated. The index
X.faces.csv next to X.mp4 marks these frames (columns: frame, timestamp, box,
landmarks, confidence, found). The datasets accept OUT in place of the folder
of raw videos.

Run the command again to resume after an interruption: finished crops are
skipped unless the recipe or the input has changed. OUT/crop_report.json lists
the videos that failed, and why.

Under torchrun, accelerate launch, srun or in a SLURM array, each process does
its share of the videos, and the outputs are those of one process.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae crop`."""
    parser.add_argument("input", metavar="IN", help="a video, or a folder (searched recursively)")
    parser.add_argument("output", metavar="OUT", help="output folder")
    defaults = CropRecipe()
    for name, kind, text in (
        ("size", int, "side of the square crops in pixels; must be even"),
        ("margin", float, "margin on each side, as a fraction of the tight crop (brows to chin)"),
        ("detector", str, "name of the face detector"),
        (
            "face",
            str,
            "face to crop: `tracked` follows one face until it is lost, `largest` takes each frame's largest",
        ),
        (
            "search",
            str,
            "where to detect a tracked face: `near` its last position, and in the whole frame if it is not there; or "
            "always in the whole `frame`",
        ),
        (
            "detect_every",
            int,
            "detect faces in every k-th frame, and in the frames between where a face appears, disappears, jumps or "
            "changes its speed",
        ),
        ("max_gap", float, "bridge a missed face for at most this many seconds"),
        ("smoothing", float, "standard deviation of the temporal smoothing of a still face, in seconds; 0 for none"),
        ("min_length", float, "drop tracks that are shorter than this, in seconds"),
        ("min_confidence", float, "ignore detections below this confidence"),
        ("min_face", float, "height of the smallest face to detect, as a fraction of the frame's shorter side"),
    ):
        default = getattr(defaults, name)
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{text} (default: {default})")
    parser.add_argument(
        "--num_proc",
        type=at_least_one,
        help="number of processes (default: one per CPU that affinity and container leave to it)",
    )
    parser.add_argument(
        "--threads",
        type=at_least_one,
        default=1,
        help="threads of each process (default: 1; a single video is not limited)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Crop the videos, print a summary and return the exit code.

    The exit code is 0 if no video failed, 1 if one did, and 2 if cropping could not start.
    """
    from ..faces.crop_folder import REPORT_FILE, crop_folder
    from ..system.folder_report import print_summary
    from ..system.ranks import ending_together, read_split

    fields = {name: getattr(arguments, name) for name in CropRecipe().to_dict()}
    try:
        split = read_split()
        with ending_together(split):
            results = crop_folder(
                arguments.input,
                arguments.output,
                CropRecipe(**fields),
                arguments.num_proc,
                split=split,
                threads=arguments.threads,
            )
    except (ValueError, OSError, ImportError) as error:
        return failed("auvmae crop", error)
    return print_summary(results, "cropped", Path(arguments.output, REPORT_FILE))
