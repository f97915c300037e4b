"""Pushing a run folder to the Hub: its files and the card that belongs to them, in one commit.

Only what is named here goes up. A run folder also holds training state, checkpoints, pickles (`training_args.bin`) and
drawings of recorded people, none of which anybody else needs.
"""

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard
from transformers.dynamic_module_utils import get_relative_import_files

from ..training.finetuning import CRITERION_FILE
from .model_card import CARD_FILE, card_digest, metric_results, name_repository
from .report import METRICS_FILE, WEIGHTS_FILE

CONFIG_FILE = "config.json"
REQUIRED_FILES = (WEIGHTS_FILE, CONFIG_FILE, "preprocessor_config.json", METRICS_FILE, CARD_FILE)
OPTIONAL_FILES = (CRITERION_FILE,)

STALE_FILES = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.pt", METRICS_FILE)
"""Left at the top of a repository by another push, these would stand beside a card that is not theirs."""


def files_to_push(folder: str | Path) -> list[str]:
    """Names of the files of a run folder that go up: weights, configuration, processor, code, statistics, card.

    Args:
        folder: Output folder of `run_finetune.py` or `run_pretrain.py`.

    Raises:
        FileNotFoundError: A file that every finished run has is not there.
    """
    folder = Path(folder)
    missing = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} is not the folder of a finished run: there is no {', '.join(missing)}. Give the --output_dir of "
            "run_finetune.py or run_pretrain.py, after its last line was printed."
        )
    modules = json.loads((folder / "config.json").read_text()).get("auto_map", {}).values()
    code = {folder / f"{module.split('.')[0]}.py" for module in modules}
    code |= {Path(found) for file in code for found in get_relative_import_files(file)}
    optional = [name for name in OPTIONAL_FILES if (folder / name).is_file()]
    return [*REQUIRED_FILES, *optional, *sorted(file.name for file in code)]


def check_card(folder: str | Path, digest: str) -> None:
    """Check that card, thresholds and `metrics.json` are of the weights, and that the card's scores were measured.

    Args:
        folder: The run folder.
        digest: SHA-256 of its weights, hexadecimal.

    Raises:
        ValueError: They are not. Says which differs, and in what.
    """
    folder = Path(folder)
    run, card = json.loads((folder / METRICS_FILE).read_text()), ModelCard.load(folder / CARD_FILE)
    for name, found in ((METRICS_FILE, run.get("weights_sha256")), (CARD_FILE, card_digest(card))):
        if found != digest:
            raise ValueError(
                f"{folder / name} is of weights with sha256 {found}, but {WEIGHTS_FILE} has {digest}: the weights were "
                "changed after the run, or the run broke off before its scores were written. Run it to its end again "
                "(--resume_from_checkpoint true goes on from its last checkpoint)."
            )
    thresholds = json.loads((folder / CONFIG_FILE).read_text()).get("thresholds")
    if thresholds != run.get("thresholds"):
        raise ValueError(
            f"{folder / CONFIG_FILE} has the thresholds {thresholds}, but {METRICS_FILE} was scored with "
            f"{run.get('thresholds')}. Put those back."
        )
    scores = {result.metric_type: result.metric_value for result in card.data.eval_results or []}
    measured = {result.metric_type: result.metric_value for result in metric_results(run)}
    if scores != measured:
        raise ValueError(
            f"{folder / CARD_FILE} gives the scores {scores} in its model-index, but {METRICS_FILE} has {measured}. "
            "Put back what was measured."
        )


def push_run(
    folder: str | Path,
    repo_id: str,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str = "Weights and card of a run",
) -> CommitInfo:
    """Push a finished run in one commit; the repository and the branch are made if need be.

    Weights are uploaded first and refer to nothing until the commit does. So whenever the push is interrupted, the
    branch holds the files it held before, or all of the new ones.

    Args:
        folder: Output folder of `run_finetune.py` or `run_pretrain.py`.
        repo_id: `owner/name`, or the name of a repository of one's own; the card's example loads it from there.
        private: Make the repository private.
        revision: Branch; `main` if None.
        token: Token with write permission; the one that is logged in if None.
        commit_message: First line of the commit.

    Returns:
        What `huggingface_hub.HfApi.create_commit` returns.

    Raises:
        FileNotFoundError: The folder is not that of a finished run.
        ValueError: The card is not of these weights, or the repository is public where a private one was asked for.
        huggingface_hub.errors.HfHubHTTPError: The Hub refuses; also if somebody else pushed meanwhile.
    """
    folder = Path(folder)
    files = {name: CommitOperationAdd(name, folder / name) for name in files_to_push(folder) if name != CARD_FILE}
    # The very hash that the Hub checks the upload against: a file that changes from here on is not accepted.
    check_card(folder, files[WEIGHTS_FILE].upload_info.sha256.hex())

    api = HfApi(token=token)
    # with the owner in it; None: as the owner's settings say
    repo_id = api.create_repo(repo_id, private=private or None, exist_ok=True).repo_id
    card = name_repository((folder / CARD_FILE).read_text(), repo_id)
    if private and not api.model_info(repo_id).private:
        raise ValueError(
            f"{repo_id} exists and is public, so nothing was pushed. Make it private in its settings, or choose "
            "another name."
        )
    if revision is not None:
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    remote: Any = api.model_info(repo_id, revision=revision)
    stale = [
        file.rfilename
        for file in remote.siblings
        if "/" not in file.rfilename
        and file.rfilename not in files
        and any(fnmatch(file.rfilename, pattern) for pattern in STALE_FILES)
    ]
    return api.create_commit(
        repo_id,
        [
            *files.values(),
            CommitOperationAdd(CARD_FILE, card.encode()),
            *(CommitOperationDelete(name) for name in stale),
        ],
        commit_message=commit_message,
        revision=revision,
        # Files that are there already are left out of a commit: a push in between could replace them.
        parent_commit=remote.sha,
    )
