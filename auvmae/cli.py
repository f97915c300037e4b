"""The `auvmae` command: one sub-command per job, each in its own file."""

import argparse
import sys

from .cli_compare import add_compare_command
from .cli_convert import add_convert_command
from .cli_crop import add_crop_command
from .cli_predict import add_predict_command
from .cli_push import add_push_command
from .cli_reconstruct import add_reconstruct_command
from .cli_stats import add_stats_command
from .cli_summarize import add_summarize_command


def build_parser() -> argparse.ArgumentParser:
    """The parser of every sub-command."""
    parser = argparse.ArgumentParser(
        prog="auvmae",
        description="Facial action units in video. Training: run_pretrain.py and run_finetune.py of the repository.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_predict_command(commands)
    add_crop_command(commands)
    add_stats_command(commands)
    add_convert_command(commands)
    add_reconstruct_command(commands)
    add_summarize_command(commands)
    add_compare_command(commands)
    add_push_command(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command; its exit code is non-zero if anything failed."""
    arguments = build_parser().parse_args(argv)
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
