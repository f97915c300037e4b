"""Push a finished run and its model card to the Hub (`auvmae push`)."""

import argparse

from ..system.endings import failed

HELP = "push a finished run to the Hub"

DESCRIPTION = """\
Push the folder of a finished run to the Hub in one commit: weights
(safetensors), configuration, processor, the code that loads them, scores, the
model card and, if present, the statistics of the training fold. An interrupted
push leaves the repository unchanged. Training state, pickles and figures are
not uploaded.

Before you push:
  - Complete README.md in the folder (data, consent, licence). Your text is
    uploaded unchanged, but a card that belongs to other weights, or has scores
    that were not measured, is rejected.
  - Check that the licences of the recordings and of the initial weights allow
    you to share the trained weights.
  - Log in with `hf auth login`, or set HF_TOKEN.

The processor stores a hash of each training subject's name, so that scores on
training subjects can be flagged. Anyone who guesses a name can verify it
against the hash. Use codes, not names, for your subjects.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `auvmae push`."""
    parser.add_argument(
        "folder", metavar="RUN_FOLDER", help="output folder (--output_dir) of run_finetune.py or run_pretrain.py"
    )
    parser.add_argument("repo_id", metavar="REPO_ID", help="owner/name on the Hub; created if it does not exist")
    parser.add_argument(
        "--private", action="store_true", help="create a private repository; refused if it exists and is public"
    )
    parser.add_argument(
        "--revision", metavar="BRANCH", help="branch to push to; created if it does not exist (default: main)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Push the run, print its address and return the exit code.

    The exit code is 2 if the folder or the Hub refuses the push.
    """
    from huggingface_hub.errors import HTTPError  # from httpx; a broken upload raises RuntimeError

    from ..runs.hub import files_to_push, push_run

    try:
        commit = push_run(arguments.folder, arguments.repo_id, arguments.private, arguments.revision)
    except (ValueError, OSError, HTTPError, RuntimeError) as error:
        return failed("auvmae push", error)
    print(f"pushed {', '.join(files_to_push(arguments.folder))}\n{commit.commit_url}")
    return 0
