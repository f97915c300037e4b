"""Arguments of fine-tuning that say whom, and which data set, a model is tested on."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets

from ..data import au_names, load_au_dataset
from ..data.folds import inner_split, read_folds
from ..data.transfer import over_shared_aus, select_aus
from ..knowledge.facs import au_label
from .arguments import DataArguments

PUBLISHED_FOLDS = 3


@dataclass
class ProtocolArguments(DataArguments):
    """`DataArguments`, which clips train, folds of other groups, repeated folds, and testing on another data set.

    Raises:
        ValueError: `--more_datasets` without `--test_dataset`, `--folds_file` with it, repetitions of given folds, or
            fewer than one.
    """

    train_share: float = field(
        default=1.0,
        metadata={"help": "Share of the training subjects to train on, drawn by `seed`: what fewer labels would give."},
    )
    rare_au_clips: bool = field(
        default=True,
        metadata={"help": "Add the appendix's clips around rare AUs to the training side (Table 4: augmented data)."},
    )
    clip_stride: int | None = field(
        default=None,
        metadata={
            "help": "Add overlapping training clips, one every so many frames. The paper has none; with few subjects "
            "they keep the model from learning the clips by heart."
        },
    )
    folds_file: str | None = field(
        default=None,
        metadata={
            "help": "JSON with the folds of another group: one list of subjects per fold, who are its test side; the "
            "rest train. Everybody in the data is in one of them."
        },
    )
    repeats: int = field(
        default=1,
        metadata={
            "help": "Run the folds so many times, from the second time on with the subjects dealt into them anew. The "
            "published protocol is one; the spread over several is what another choice of folds changes."
        },
    )
    repetition: int = field(
        default=0, metadata={"help": "Which of them: 0 for the published folds; the seed of those dealt anew."}
    )
    aus: list[int] | None = field(
        default=None,
        metadata={
            "help": "Numbers of the AUs to train and to score on, e.g. 1 2 4 6 12; all that the data is coded for by "
            "default. They keep the order of the data."
        },
    )
    test_dataset: str | None = field(
        default=None,
        metadata={
            "help": "Test on this data set and not on --dataset, over the AUs that both have (appendix, Table 3): its "
            "test subjects of the fold, the model is of the training subjects of --dataset."
        },
    )
    test_data_dir: str | None = field(default=None, metadata={"help": "Folder of --test_dataset."})
    test_dataset_options: str = field(default="{}", metadata={"help": "As --dataset_options, of --test_dataset."})
    more_datasets: str = field(
        default="[]",
        metadata={
            "help": "Data sets to train on beside --dataset, to leave --test_dataset out of all: a JSON list (in a "
            'recipe: a list) of options, e.g. [{"name": "bp4d", "data_dir": "/data/BP4D"}].'
        },
    )

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"--repeats is a number from 1, found {self.repeats}.")
        if self.folds_file is not None and (self.repeats > 1 or self.repetition):
            raise ValueError("--repeats and --repetition deal the subjects anew, --folds_file says how: give one.")
        if self.folds_file is not None and self.test_dataset is not None:
            raise ValueError(
                "--folds_file says which subjects of one data set train and which test, --test_dataset takes the "
                "same published fold of two: give one of them."
            )
        if self.test_dataset is None and json.loads(self.more_datasets):
            raise ValueError("--more_datasets needs --test_dataset: the data set that is left out, to test on.")

    @property
    def folds(self) -> list[int]:
        """The folds to run, one after the other."""
        if self.fold != "all":
            return [int(self.load_options()["fold"])]
        if self.folds_file is not None:
            return list(range(1, len(read_folds(self.folds_file)) + 1))
        return list(range(1, json.loads(self.dataset_options).get("num_folds", PUBLISHED_FOLDS) + 1))

    def load(self) -> datasets.DatasetDict:
        """Open the rows to train and to test on, see `load_au_dataset`; of several data sets over the AUs of all.

        Raises:
            ValueError: `--aus` names an AU that is not coded.
        """
        common = {
            "rare_au_clips": self.rare_au_clips,
            "clip_stride": self.clip_stride,
            "repetition": self.repetition,
        }
        options = self.load_options() | common | {"folds_file": self.folds_file}
        rows = load_au_dataset(**options)
        if self.test_dataset is not None:
            shared = common | {name: options[name] for name in ("fold", "clip_length", "num_proc")}
            others = [load_au_dataset(**shared | more) for more in json.loads(self.more_datasets)]
            test: dict[str, Any] = {"name": self.test_dataset, "data_dir": self.test_data_dir, **shared}
            tested = load_au_dataset(**test | json.loads(self.test_dataset_options))
            rows = over_shared_aus([rows, *others], tested)
        if self.aus is None:
            return rows
        order = {name: place for place, name in enumerate(au_names(rows))}
        names = sorted({au_label(au) for au in self.aus}, key=lambda name: order.get(name, len(order)))
        return datasets.DatasetDict({split: select_aus(part, names) for split, part in rows.items()})

    def hold_out(self, rows: datasets.DatasetDict, inner_val: float, seed: int) -> datasets.DatasetDict:
        """Leave the training subjects beyond `train_share` out, and put a share of the rest into "inner_val".

        Args:
            rows: What `load` gives. They are changed.
            inner_val: Share of the training subjects to evaluate on; 0 for none.
            seed: Of the subjects that are drawn.
        """
        if self.train_share < 1:
            rows["train"], _ = inner_split(rows["train"], 1 - self.train_share, seed)
        if inner_val:
            rows["train"], rows["inner_val"] = inner_split(rows["train"], inner_val, seed)
        return rows

    @property
    def trained_datasets(self) -> list[str]:
        """Names of the data sets to train on."""
        return [self.dataset, *(more["name"] for more in json.loads(self.more_datasets))]

    def describe(self) -> dict[str, Any]:
        """What of it a reader must know, without the paths of this machine."""
        folds = self.folds_file and Path(self.folds_file)
        return {
            "dataset": self.test_dataset or self.dataset,
            "train_datasets": self.trained_datasets if self.test_dataset else None,
            "dataset_options": _without_paths(json.loads(self.dataset_options)),
            "test_dataset_options": _without_paths(json.loads(self.test_dataset_options)),
            "more_datasets": [_without_paths(more) for more in json.loads(self.more_datasets)],
            "fold": int(self.fold),
            "repetition": self.repetition,
            "folds_file": folds and f"{folds.name} (sha256 {hashlib.sha256(folds.read_bytes()).hexdigest()[:8]})",
        }


def _without_paths(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a data set that change its rows, with the names of files and folders in the place of their paths."""
    return {
        name: Path(value).name if isinstance(value, str) else value
        for name, value in sorted(options.items())
        if name not in ("num_proc", "cache_dir")
    }
