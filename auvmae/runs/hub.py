"""Push a run folder to the Hub, with its model card, in one commit.

Only the files named here are uploaded. A run folder also holds training state, checkpoints, pickles
(`training_args.bin`) and figures of recorded people, which nobody else needs.
"""

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard
from transformers.dynamic_module_utils import get_relative_import_files

from ..configuration import AUVMAEConfig
from ..system.files import read_json_object
from ..training.finetuning import CRITERION_FILE
from ..weights import check_weights_file
from .model_card import CARD_FILE, card_digest, metric_results, name_repository
from .report import METRICS_FILE, WEIGHTS_FILE

CONFIG_FILE = "config.json"
REQUIRED_FILES = (WEIGHTS_FILE, CONFIG_FILE, "preprocessor_config.json", METRICS_FILE, CARD_FILE)
OPTIONAL_FILES = (CRITERION_FILE,)

STALE_FILES = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.pt", METRICS_FILE)
"""Files to delete from the top of a repository: left by another push, they would contradict the new card."""


def files_to_push(folder: str | Path) -> list[str]:
    """List the files of a run folder to push.

    These are weights, configuration, processor, code, scores, statistics and card.

    Args:
        folder: Output folder of `run_finetune.py` or `run_pretrain.py`.

    Returns:
        Names of the files, without the folder.

    Raises:
        FileNotFoundError: A file that every finished run has is missing.
        ValueError: The configuration is damaged.
    """
    folder = Path(folder)
    missing = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} is not the folder of a finished run: there is no {', '.join(missing)}. Pass the --output_dir of "
            "run_finetune.py or run_pretrain.py once the script has printed its last line."
        )
    modules = _read_object(folder / CONFIG_FILE).get("auto_map", {}).values()
    code = {folder / f"{module.split('.')[0]}.py" for module in modules}
    code |= {Path(found) for file in code for found in get_relative_import_files(file)}
    optional = [name for name in OPTIONAL_FILES if (folder / name).is_file()]
    return [*REQUIRED_FILES, *optional, *sorted(file.name for file in code)]


def _read_object(path: Path) -> dict[str, Any]:
    found = read_json_object(path)
    if not found:
        raise ValueError(f"{path} is damaged: it holds no JSON object. Run the script again, or restore the file.")
    return found


def check_card(folder: str | Path, digest: str) -> None:
    """Check that the card describes the weights and their measured scores.

    Card and `metrics.json` must name the digest of the weights. The thresholds in the configuration and the scores on
    the card must equal those in `metrics.json`.

    Args:
        folder: Run folder.
        digest: SHA-256 of its weights, hexadecimal.

    Raises:
        ValueError: They do not match. The message names the file and the values.
    """
    folder = Path(folder)
    run, card = _read_object(folder / METRICS_FILE), ModelCard.load(folder / CARD_FILE)
    for name, found in ((METRICS_FILE, run.get("weights_sha256")), (CARD_FILE, card_digest(card))):
        if found != digest:
            raise ValueError(
                f"{folder / name} describes weights with sha256 {found}, but {WEIGHTS_FILE} has {digest}. Either the "
                "weights were changed after the run, or the run was interrupted before its scores were written. Run it "
                "to the end again (--resume_from_checkpoint true resumes from its last checkpoint)."
            )
    thresholds = _read_object(folder / CONFIG_FILE).get("thresholds")
    if thresholds != run.get("thresholds"):
        raise ValueError(
            f"{folder / CONFIG_FILE} has the thresholds {thresholds}, but {METRICS_FILE} was scored with "
            f"{run.get('thresholds')}. Restore those thresholds."
        )
    scores = {result.metric_type: result.metric_value for result in card.data.eval_results or []}
    measured = {result.metric_type: result.metric_value for result in metric_results(run)}
    if scores != measured:
        raise ValueError(
            f"{folder / CARD_FILE} reports the scores {scores} in its model-index, but {METRICS_FILE} has {measured}. "
            "Restore the measured scores."
        )


def push_run(
    folder: str | Path,
    repo_id: str,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str = "Upload weights and model card",
) -> CommitInfo:
    """Push a finished run in one commit.

    The repository and the branch are created if they do not exist. Weights are uploaded first, but belong to no branch
    until the commit. If a push is interrupted, the branch has either all previous files or all new files.

    Args:
        folder: Output folder of `run_finetune.py` or `run_pretrain.py`.
        repo_id: `owner/name`, or the name of one of the user's own repositories. The example on the card loads it.
        private: Whether to make the repository private.
        revision: Branch; `main` if None.
        token: Token with write permission; the token of the current login if None.
        commit_message: First line of the commit.

    Returns:
        The commit, as from `huggingface_hub.HfApi.create_commit`.

    Raises:
        FileNotFoundError: The folder is not that of a finished run.
        ValueError: The card does not match the weights, a weight is not finite, a field of the configuration is wrong,
            or the repository is public although `private` is set.
        huggingface_hub.errors.HfHubHTTPError: The Hub rejects the push, for example after a concurrent push.
    """
    folder = Path(folder)
    files = {name: CommitOperationAdd(name, folder / name) for name in files_to_push(folder) if name != CARD_FILE}
    # The Hub verifies the upload against this hash, so it rejects a file that changes from here on.
    check_card(folder, files[WEIGHTS_FILE].upload_info.sha256.hex())
    AUVMAEConfig.from_pretrained(folder)
    check_weights_file(folder / WEIGHTS_FILE)

    api = HfApi(token=token)
    # The returned name includes the owner. With private=None, the owner's settings decide the visibility.
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
        # A commit omits files that the Hub already has, and a push in between could replace them.
        parent_commit=remote.sha,
    )
