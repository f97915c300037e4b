"""The `auvmae` command: one sub-command per job, each in a module of its own.

Such a module has HELP (a line), DESCRIPTION (what `--help` begins with), `add_arguments(parser)` and `run(arguments)`,
which gives the exit code. It imports what is heavy inside of `run`.
"""

import argparse
import sys
from io import TextIOWrapper

from . import compare, convert, crop, demo, export, predict, push, reconstruct, stats, summarize

COMMANDS = {
    "predict": predict,
    "crop": crop,
    "stats": stats,
    "convert": convert,
    "reconstruct": reconstruct,
    "summarize": summarize,
    "compare": compare,
    "export": export,
    "demo": demo,
    "push": push,
}


def build_parser() -> argparse.ArgumentParser:
    """The parser of every sub-command."""
    parser = argparse.ArgumentParser(
        prog="auvmae",
        description="Facial action units in video. Training: run_pretrain.py and run_finetune.py of the repository.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command; its exit code is non-zero if anything failed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files that it cannot encode end no command
    arguments = build_parser().parse_args(argv)
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
