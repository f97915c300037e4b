"""Run all folds of an experiment with one command.

The folds run one after the other, can be resumed, and are summarised in tables.
"""

import itertools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list, release_memory
from transformers.trainer_utils import get_last_checkpoint

from ..evaluation.saved_predictions import FoldPredictions
from ..evaluation.summary import summary_tables
from ..system.files import save_json
from .arguments import RUN
from .arguments_finetune import FinetuneArguments, FoldArguments
from .arguments_protocol import ProtocolArguments
from .hub import push_run
from .report import FoldReport
from .run_folder import is_finished

FLAGS_FILE = "flags.json"
FREE_FLAGS = {
    *("output_dir", "resume_from_checkpoint", "fold", "repeats", "repetition", "num_proc", "disable_tqdm"),
    *("report_to", "run_name", "push_to_hub", "dataloader_num_workers", "dataloader_pin_memory"),
    *("dataloader_persistent_workers", "dataloader_prefetch_factor", "dataloader_multiprocessing_context"),
}
FREE_PREFIXES = ("hub_", "logging_")
"""Flags that do not change the result, so they may change when a run is resumed."""


def run_protocol(
    run_fold: Callable[[FoldArguments], FoldReport],
    argv: Sequence[str] | None = None,
    default_recipe: str | Path | None = None,
) -> tuple[FoldReport | None, str]:
    """Run the requested folds; with several, also save their summary tables.

    A single fold is saved in the output folder itself. With several, each fold has its own arguments and its own
    subfolder: `foldK` for the published folds, `repeatR_foldK` for the repetitions after them. Finished folds are
    skipped, and an interrupted fold resumes from its last checkpoint. The tables are saved in `OUTPUT_DIR/tables`. With
    `--push_to_hub`, all folds are pushed at the end, each to its own repository.

    Args:
        run_fold: Function that runs one fold.
        argv: Command-line arguments; see `parse_arguments`.
        default_recipe: Recipe to use if `argv` names none.

    Returns:
        The report of the last fold that was run, or None if all were finished; and the tables, to print.

    Raises:
        ValueError: A folder holds a run with other flags, or one checkpoint would be scored on every fold.
    """
    flags = list(sys.argv[1:] if argv is None else argv)
    arguments = FoldArguments.parse(flags, default_recipe)
    args = arguments.training
    runs = _runs(arguments.data)
    if len(runs) == 1 and arguments.data.fold != "all":
        return run_fold(arguments), ""

    if not args.do_train and RUN not in str(arguments.model.model_name_or_path):
        raise ValueError(
            "--no_do_train would score one checkpoint on every fold, although it was trained on the test subjects of "
            f"some folds. Name one checkpoint per fold, e.g. --model_name_or_path 'outputs/my_run/{RUN}'."
        )
    if str(args.resume_from_checkpoint).lower() not in ("none", "true"):
        raise ValueError(
            f"--resume_from_checkpoint {args.resume_from_checkpoint} belongs to one fold. Omit it: with several folds, "
            "each one resumes from its own last checkpoint."
        )
    output = Path(str(args.output_dir))
    given = _fixed_flags(FoldArguments.given(flags, default_recipe))
    for name in runs:
        _check_flags(output / name, given)
    # All processes use the list of the first one, since a late process might find some of these folds finished.
    (pending,) = broadcast_object_list([[name for name in runs if not is_finished(output / name)]])
    report = None
    for name in pending:
        if args.process_index == 0:
            save_json(given, output / name / FLAGS_FILE)
        own = FoldArguments.parse([*flags, *_flags_of(output / name, *runs[name])], default_recipe)
        own.model.name_run(name)
        report = run_fold(own)
        release_memory()
    return report, _finish(output, list(runs), args) if args.process_index == 0 else ""


def _runs(data_args: ProtocolArguments) -> dict[str, tuple[int, int]]:
    """Map the folder of each run to its fold and repetition, by repetition."""
    first = data_args.repetition
    pairs = itertools.product(range(first, first + data_args.repeats), data_args.folds)
    return {f"repeat{repeat}_fold{fold}" if repeat else f"fold{fold}": (fold, repeat) for repeat, fold in pairs}


def _flags_of(folder: Path, fold: int, repetition: int) -> list[str]:
    flags = ["--output_dir", str(folder), "--fold", str(fold), "--repetition", str(repetition), "--repeats", "1"]
    flags += ["--push_to_hub", "false"]
    if folder.is_dir() and get_last_checkpoint(str(folder)):
        flags += ["--resume_from_checkpoint", "true"]
    return flags


def _fixed_flags(flags: dict[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in flags.items() if name not in FREE_FLAGS and not name.startswith(FREE_PREFIXES)
    }


def _check_flags(folder: Path, given: dict[str, str]) -> None:
    path = folder / FLAGS_FILE
    if not path.is_file():
        if is_finished(folder):
            raise ValueError(f"{folder} holds a run that was not started with --fold all. Choose another --output_dir.")
        return
    found: dict[str, Any] = json.loads(path.read_text())
    differing = sorted(name for name in found.keys() | given.keys() if found.get(name) != given.get(name))
    if differing:
        changes = ", ".join(f"--{name} {found.get(name, '(default)')}" for name in differing)
        raise ValueError(
            f"{folder} holds a run with different flags: {changes}. Choose another --output_dir, or remove that folder."
        )


def _finish(output: Path, names: list[str], args: FinetuneArguments) -> str:
    tables = summary_tables(FoldPredictions.load(output / name) for name in names)
    for table in tables:
        table.save(output / "tables")
    if args.push_to_hub:
        repository = args.hub_model_id or output.resolve().name
        for name in names:
            push_run(
                output / name, f"{repository}-{name}", bool(args.hub_private_repo), args.hub_revision, args.hub_token
            )
    texts = [*(table.markdown() for table in tables), f"Saved to {output}: {', '.join(names)}, tables/\n"]
    return "\n" + "\n".join(texts)
