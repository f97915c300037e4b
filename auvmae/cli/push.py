"""`auvmae push RUN_FOLDER REPO_ID`: a finished run on the Hub, with its card."""

import argparse
import sys

HELP = "put a finished run on the Hub"

DESCRIPTION = """\
Push the folder of a finished run: weights (safetensors), configuration, processor, the code that opens them, scores,
the training fold's statistics where there are any, and the card, in one commit; broken off at any point, it leaves the
repository as it was. Training state, pickles and figures stay here. The processor holds a hash of each training
subject's name, by which scores on them are labelled: whoever guesses a name can check it, so code people, do not name
them. Complete README.md in the folder first (data, consent, licence): your text goes up as it stands, but a card of
other weights, or with scores that were not measured, is refused. Log in before (`hf auth login`, or HF_TOKEN), and see
that the licences of the recordings and of the weights that training started from let you share what was trained on
them.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `auvmae push`."""
    parser.add_argument("folder", metavar="RUN_FOLDER", help="the --output_dir of run_finetune.py or run_pretrain.py")
    parser.add_argument("repo_id", metavar="REPO_ID", help="owner/name on the Hub; made if it is not there")
    parser.add_argument("--private", action="store_true", help="make it private; refused if it is there and public")
    parser.add_argument("--revision", metavar="BRANCH", help="push to this branch, made if need be (default: main)")


def run(arguments: argparse.Namespace) -> int:
    """Push and print where it is; the exit code is 2 where the folder or the Hub refuses."""
    from huggingface_hub.errors import HTTPError  # httpx's; RuntimeError is what a broken upload raises

    from ..runs.hub import files_to_push, push_run

    try:
        commit = push_run(arguments.folder, arguments.repo_id, arguments.private, arguments.revision)
    except (ValueError, OSError, HTTPError, RuntimeError) as error:
        print(f"auvmae push: {error}", file=sys.stderr)
        return 2
    print(f"pushed {', '.join(files_to_push(arguments.folder))}\n{commit.commit_url}")
    return 0
