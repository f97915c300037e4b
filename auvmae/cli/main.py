"""Run the `auvmae` command and dispatch to its sub-commands.

Each sub-command is a module with HELP (one line), DESCRIPTION (the beginning of its `--help`),
`add_arguments(parser)` and `run(arguments)`, which returns the exit code. Heavy imports belong inside `run`.
"""

import argparse
import sys
from io import TextIOWrapper

from ..system.endings import run_command
from . import animate, convert, crop, demo, export, predict, push, reconstruct
from .reports import compare, describe, stats, summarize

COMMANDS = {
    "predict": predict,
    "describe": describe,
    "crop": crop,
    "stats": stats,
    "convert": convert,
    "reconstruct": reconstruct,
    "summarize": summarize,
    "compare": compare,
    "export": export,
    "animate": animate,
    "demo": demo,
    "push": push,
}


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all sub-commands."""
    parser = argparse.ArgumentParser(
        prog="auvmae",
        description="Detect facial action units in video. To train a model, use the repository's run_pretrain.py and "
        "run_finetune.py.",
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
    """Run a sub-command and return its exit code, non-zero if anything failed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an unencodable file name must not crash a command

    def run() -> int:
        arguments = build_parser().parse_args(argv)
        return arguments.run(arguments)

    return run_command(run, "auvmae")


if __name__ == "__main__":
    sys.exit(main())
