"""Animate a portrait by action units, as a video or a sheet (`auvmae animate`)."""

import argparse
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..system.endings import failed
from ..system.files import writable
from ..system.settings import at_least_one

if TYPE_CHECKING:
    import numpy as np

    from ..data.portraits.drawing.rendering import Portrait

HELP = "animate a portrait by action units"

DESCRIPTION = """\
Animate a portrait with a face rig, so that FACS coders can judge what the
dataset of portraits shows for each action unit.

With --au, OUT is a video of the face: neutral, onset, apex and offset of the
action units. With --sheet, an image shows every action unit alone at
intensities 1, 3 and 5, out of 5.

PORTRAIT is one of the 200 portraits of
  git clone https://github.com/faker-js/assets-person-portrait
such as female/512/34.jpg. They show no real people and are in the public
domain (CC0). Other images are refused, as their fits are not in the package.
The rig comes from
  git clone https://github.com/ICT-VGL/ICT-FaceKit
and is under the MIT licence.
"""

FPS = 30
SECONDS = {"neutral": 0.5, "onset": 0.5, "apex": 1.0, "offset": 0.7, "neutral again": 0.3}
"""Phases of the video and their lengths."""

VIDEOS = (".mp4", ".mkv", ".mov", ".avi")
IMAGES = (".png", ".jpg", ".jpeg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae animate`."""
    parser.add_argument("portrait", metavar="PORTRAIT", help="image of one of the 200 portraits")
    parser.add_argument(
        "--au",
        metavar="AU=INTENSITY",
        action="append",
        default=[],
        help="action unit and its intensity at the apex in 0..5, e.g. AU12=3; L12=3 or R12=3 moves the subject's left "
        "or right side only. May be repeated",
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="video to write, such as smile.mp4")
    parser.add_argument("--sheet", metavar="SHEET", help="image to write with every action unit, such as sheet.png")
    parser.add_argument(
        "--rig_dir",
        default="ICT-FaceKit",
        help="folder of the face rig: FaceXModel, or the folder that contains it (default: ./ICT-FaceKit)",
    )
    parser.add_argument(
        "--size", type=at_least_one, help="side of a face in pixels, 64 to 1024 (default: 320; 160 on a sheet)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the video and the sheet, and return the exit code.

    The exit code is 2 if the portrait, the rig or an action unit cannot be used.
    """
    try:
        output, sheet = _check_outputs(arguments)
        with ExitStack() as folders:
            for path in filter(None, (output, sheet)):
                folders.enter_context(writable(path.parent))
            _animate(arguments, output, sheet)
    except (ValueError, OSError, ImportError) as error:
        return failed("auvmae animate", error)
    for path in filter(None, (sheet, output)):
        print(f"written: {path}")
    return 0


def _animate(arguments: argparse.Namespace, output: Path | None, sheet: Path | None) -> None:
    from ..data.portraits.fitting import find_fit, read_portrait
    from ..data.portraits.rig import load_rig

    intensities = _read_intensities(arguments.au)
    path = Path(arguments.portrait)
    fit = find_fit(path)
    rig = load_rig(arguments.rig_dir, _cache())
    try:
        from ..data.portraits.drawing.rendering import Renderer
        from ..data.portraits.sheet import draw_sheet

        image = read_portrait(path)
        if sheet:
            from PIL import Image

            from ..system.files import whole_file

            cells = draw_sheet(Renderer(rig, arguments.size or 160).prepare(image, fit))
            with whole_file(sheet) as temporary, temporary.open("wb") as stream:
                kind = "PNG" if sheet.suffix.lower() == ".png" else "JPEG"
                Image.fromarray(cells).save(stream, format=kind, quality=85)
        if output:
            _write_video(Renderer(rig, arguments.size or 320).prepare(image, fit), intensities, output)
    except ModuleNotFoundError as error:
        raise ImportError(f"rendering needs the extra `faces`: pip install auvmae[faces] ({error})") from error


def _read_intensities(given: Sequence[str]) -> "np.ndarray":
    """Read `AU12=3` or `L12=3` as intensities (N, 2) of the right and the left side.

    Raises:
        ValueError: An action unit is unknown or given twice, or an intensity is not in 0..5.
    """
    import numpy as np

    from ..data.portraits.action_units import NUMBERS, SCALE
    from ..system.settings import check_range

    found = np.full((len(NUMBERS), 2), np.nan, np.float32)
    for text in given:
        match = re.fullmatch(r"(AU|L|R)0*(\d+)=(.+)", text, re.ASCII | re.IGNORECASE)
        if not match:
            raise ValueError(f"--au must be like AU12=3, L12=3 or R12=3, found {text!r}.")
        side, number = match[1].upper(), int(match[2])
        if number not in NUMBERS:
            raise ValueError(f"--au {text}: there is no AU{number}, choose from {', '.join(map(str, NUMBERS))}.")
        try:
            intensity = float(match[3])
        except ValueError:
            raise ValueError(f"--au {text}: the intensity must be a number in 0..5, found {match[3]!r}.") from None
        check_range(f"--au {text}: the intensity", intensity, f"[0, {SCALE:g}]")
        sides = {"AU": [0, 1], "R": [0], "L": [1]}[side]
        row = found[NUMBERS.index(number)]
        if not np.isnan(row[sides]).all():
            raise ValueError(f"--au {text}: AU{number} is given twice for one side.")
        row[sides] = intensity
    return np.nan_to_num(found)


def _check_outputs(arguments: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Return the video and the sheet to write, if their names are fine."""
    if bool(arguments.au) != bool(arguments.output):
        given, missing = ("--au", "-o, the video to write") if arguments.au else ("-o", "--au, such as --au AU12=3")
        raise ValueError(f"{given} needs {missing}.")
    if not arguments.output and not arguments.sheet:
        raise ValueError("name what to write: a video with --au and -o, or a sheet with --sheet.")
    if arguments.size is not None and not 64 <= arguments.size <= 1024:
        raise ValueError(f"--size must lie in 64 to 1024, found {arguments.size}.")
    return (
        _check_output("-o", arguments.output, VIDEOS, arguments.portrait),
        _check_output("--sheet", arguments.sheet, IMAGES, arguments.portrait),
    )


def _check_output(flag: str, name: str | None, suffixes: Sequence[str], portrait: str) -> Path | None:
    if not name:
        return None
    path = Path(name)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{flag} must have the suffix {', '.join(suffixes)}, found {name!r}.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Name a file with {flag}.")
    if path.resolve() == Path(portrait).resolve():
        raise FileExistsError(f"{path} is the portrait. Choose another file for {flag}.")
    return path


def _cache() -> Path:
    """Return the folder where the rig is kept, so that the next call starts sooner."""
    import datasets

    return Path(datasets.config.HF_DATASETS_CACHE) / "auvmae"


def _write_video(portrait: "Portrait", intensities: "np.ndarray", path: Path) -> None:
    """Write the face from neutral to the given intensities (N, 2) and back."""
    import numpy as np

    from ..data.portraits.action_units import expression_weights
    from ..data.portraits.drawing.rendering import Shot
    from ..data.portraits.drawing.wrinkles import Wrinkles
    from ..video.writing import VideoWriter

    ends = np.cumsum([0.0, *SECONDS.values()])
    times = np.arange(round(ends[-1] * FPS)) / FPS
    linear = np.interp(times, ends, [0, 0, 1, 1, 0, 0])
    rig, size, wrinkles = portrait.renderer.mesh.rig, portrait.renderer.size, Wrinkles(0)
    with VideoWriter(path, FPS, size, size) as writer:
        for share in (1 - np.cos(np.pi * linear)) / 2:
            now = share * intensities
            writer.write(portrait.render(Shot(expression_weights(rig, now), wrinkles=wrinkles.shade(now))).frame)
