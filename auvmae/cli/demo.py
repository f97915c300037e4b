"""`auvmae demo -m MODEL`: a page to try a model on recordings, on this machine or as a Space."""

import argparse
import sys

HELP = "open a page to try a model, or make a Space of it"

DESCRIPTION = """\
A page in the browser: choose a recording, watch it with boxes and bars beside a timeline of its action units, hide and
show them, download the table that `auvmae predict` writes. It listens on this machine alone unless --host says
otherwise, takes one recording at a time, and removes what it wrote after an hour and at its end. --export_space writes
the same page as a Hugging Face Space, to upload, in place of opening it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `auvmae demo`."""
    parser.add_argument("-m", "--model", required=True, help="a fine-tuned checkpoint: a folder, or a name on the Hub")
    parser.add_argument("--cropped", action="store_true", help="the recordings are face crops already")
    parser.add_argument("--device", help='e.g. "cpu" or "cuda:0" (default: a GPU if there is one)')
    parser.add_argument("--examples", metavar="FOLDER", help="videos to choose from (default: two drawn faces)")
    parser.add_argument("--max_seconds", type=float, default=60, help="of a recording (default: 60)")
    parser.add_argument("--max_megabytes", type=float, default=100, help="of its file (default: 100)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="(default: the first free one from 7860)")
    parser.add_argument("--export_space", metavar="FOLDER", help="write a Space of a model on the Hub to a new folder")


def run(arguments: argparse.Namespace) -> int:
    """Show the page until it is interrupted; the exit code is 2 where it could not begin."""
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
        options = {name: getattr(arguments, name) for name in ("examples", "cropped", "device", "host", "port")}
        serve_page(arguments.model, limits, **options)
    except (ValueError, OSError, ImportError) as error:
        print(f"auvmae demo: {error}", file=sys.stderr)
        return 2
    return 0
