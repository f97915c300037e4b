"""Serve a page to try a model, or export it as a Space (`auvmae demo`)."""

import argparse

from ..system.endings import failed
from ..weights import DEFAULT_MODEL

HELP = "serve a web page to try a model, or export it as a Space"

DESCRIPTION = """\
Serve a web page to try a model. Choose a recording, and watch it with face
boxes and AU bars next to a timeline of its action units. Show or hide single
action units, and download the table that `auvmae predict` writes.

Only this machine can open the page, unless --host says otherwise. The page
processes one recording at a time. It deletes uploads and results after an
hour, and when it stops. With --export_space, the page is not served but
written as a Hugging Face Space, ready to upload.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae demo`."""
    parser.add_argument(
        "-m",
        "--model",
        default=DEFAULT_MODEL,
        help=f"fine-tuned checkpoint: a folder, or a name on the Hub (default: {DEFAULT_MODEL}, the packaged model)",
    )
    parser.add_argument(
        "--all-aus",
        "--all_aus",
        action="store_true",
        help="show all action units, including those that failed their check on real faces",
    )
    parser.add_argument("--cropped", action="store_true", help="treat the recordings as face crops")
    parser.add_argument("--device", help='device of the model, e.g. "cpu" or "cuda:0" (default: a GPU if available)')
    parser.add_argument(
        "--examples", metavar="FOLDER", help="folder of example videos (default: two animated portraits)"
    )
    parser.add_argument("--max_seconds", type=float, default=60, help="longest recording in seconds (default: 60)")
    parser.add_argument("--max_megabytes", type=float, default=100, help="largest file in megabytes (default: 100)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free port from 7860)")
    parser.add_argument("--export_space", metavar="FOLDER", help="new folder for a Space with a model from the Hub")


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until it is interrupted, and return the exit code.

    The exit code is 2 if the page could not start.
    """
    from ..demo.limits import Limits
    from ..system.hardware import keep_freed_memory

    try:
        limits = Limits(arguments.max_megabytes, arguments.max_seconds)
        if arguments.export_space:
            from ..demo.space import export_space

            print(f"wrote {export_space(arguments.export_space, arguments.model, limits)}: see README.md there")
            return 0
        from ..demo.serve import serve_page

        keep_freed_memory()
        options = {
            name: getattr(arguments, name) for name in ("examples", "all_aus", "cropped", "device", "host", "port")
        }
        serve_page(arguments.model, limits, **options)
    except (ValueError, OSError, ImportError) as error:
        return failed("auvmae demo", error)
    return 0
