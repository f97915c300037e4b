"""Define the arguments that select the subjects and datasets to train and test on."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets

from ..data import au_names, load_au_dataset
from ..data.clips import video_labels
from ..data.folds import inner_split, read_folds
from ..data.transfer import over_shared_aus, select_aus
from ..knowledge.facs import NOT_CODED, au_label
from ..system.settings import check_range, check_type, parse_json, parse_options, refuse_repeated
from .arguments import DataArguments

PUBLISHED_FOLDS = 3
TARGETS = ("occurrence", "intensity", "both")
SHARED = {
    name: f"--{name}"
    for name in ("fold", "clip_length", "num_proc", "rare_au_clips", "clip_stride", "repetition", "folds_file")
}
"""Flag of each option that holds for all datasets of a run."""


@dataclass
class ProtocolArguments(DataArguments):
    """Extend `DataArguments` with the evaluation protocol.

    The protocol includes the choice of training clips, folds from a file, repeated folds, and cross-dataset tests.

    Raises:
        ValueError: `--more_datasets` is given without `--test_dataset`, `--folds_file` with `--test_dataset` or with
            repetitions, or `--repeats` is less than 1.
    """

    target: str | None = field(
        default=None,
        metadata={
            "help": "What to train and to score: occurrence, intensity (only that head), or both. It overrides "
            "grade_intensities in --model_config. By default, intensities are trained besides occurrences if the rows "
            "have them and the model grades them. Otherwise only occurrences are.",
            "choices": list(TARGETS),
        },
    )
    train_share: float = field(
        default=1.0,
        metadata={"help": "Fraction of the training subjects to use, drawn with --seed, to simulate fewer labels."},
    )
    rare_au_clips: bool = field(
        default=True,
        metadata={"help": "Add the appendix's clips around rare AUs to the training split (Table 4: augmented data)."},
    )
    clip_stride: int | None = field(
        default=None,
        metadata={
            "help": "Step in frames between overlapping training clips, which are added to the others. The paper uses "
            "none; with few subjects, they reduce overfitting."
        },
    )
    folds_file: str | None = field(
        default=None,
        metadata={
            "help": "JSON file with another group's folds: one list of test subjects per fold; all other subjects "
            "train. Each subject of the dataset must be in exactly one list."
        },
    )
    repeats: int = field(
        default=1,
        metadata={
            "help": "Number of times to run the folds. From the second time on, the subjects are resplit into new "
            "folds. The published protocol is one; the standard deviation over several shows the effect of the split."
        },
    )
    repetition: int = field(
        default=0,
        metadata={"help": "First repetition to run: 0 for the published folds, otherwise the seed of the split."},
    )
    aus: list[int] | None = field(
        default=None,
        metadata={
            "help": "Numbers of the AUs to train and to score on, e.g. 1 2 4 6 12; by default all AUs that the dataset "
            "is coded for. They keep the order of the dataset."
        },
    )
    test_dataset: str | None = field(
        default=None,
        metadata={
            "help": "Dataset to test on in place of --dataset, over the AUs that both have (appendix, Table 3). The "
            "fold's training subjects come from --dataset, its test subjects from this dataset."
        },
    )
    test_data_dir: str | None = field(default=None, metadata={"help": "Folder of --test_dataset."})
    test_dataset_options: str = field(
        default="{}",
        metadata={"help": "Further options of the builder of --test_dataset as JSON (in a recipe: a mapping)."},
    )
    more_datasets: str = field(
        default="[]",
        metadata={
            "help": "Datasets to train on in addition to --dataset, so that only --test_dataset is left out: a JSON "
            'list (in a recipe: a list) of options, e.g. [{"name": "bp4d", "data_dir": "/data/BP4D"}].'
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("--repeats", self.repeats, "[1, inf)")
        self.test_options()
        more_datasets = self.more_options()
        if self.folds_file is not None and (self.repeats > 1 or self.repetition):
            raise ValueError(
                "--repeats and --repetition resplit the subjects, but --folds_file fixes the folds. "
                "Give only one of them."
            )
        if self.folds_file is not None and self.test_dataset is not None:
            raise ValueError(
                "--folds_file splits the subjects of one dataset, but --test_dataset takes the same published fold of "
                "two datasets. Give only one of them."
            )
        if self.test_dataset is None and more_datasets:
            raise ValueError("--more_datasets needs --test_dataset, the dataset left out of training to test on.")

    @property
    def folds(self) -> list[int]:
        """Return the folds to run, in order."""
        if self.fold != "all":
            return [int(self.load_options()["fold"])]
        if self.folds_file is not None:
            return list(range(1, len(read_folds(self.folds_file)) + 1))
        number = self.builder_options().get("num_folds", PUBLISHED_FOLDS)
        check_type("num_folds", number, int)
        return list(range(1, number + 1))

    def test_options(self) -> dict[str, Any]:
        """Return the options in `test_dataset_options`; see `builder_options`."""
        flags = SHARED | {"name": "--test_dataset", "data_dir": "--test_data_dir"}
        return parse_options(self.test_dataset_options, "--test_dataset_options", flags)

    def more_options(self) -> list[dict[str, Any]]:
        """Return the options of each dataset in `more_datasets`; see `builder_options`."""
        datasets = parse_json(self.more_datasets, "--more_datasets", list)
        for more in datasets:
            if not isinstance(more, dict) or "name" not in more:
                raise ValueError(f"--more_datasets must list mappings with a name, found {more!r}.")
            refuse_repeated(more, "--more_datasets", SHARED)
        return datasets

    def load(self) -> datasets.DatasetDict:
        """Open the rows to train and to test on; see `load_au_dataset`.

        Several datasets are restricted to the AUs that they share.

        Raises:
            ValueError: `--aus` names an AU that is not coded, or no frame of the test subjects is coded.
        """
        common = {
            "rare_au_clips": self.rare_au_clips,
            "clip_stride": self.clip_stride,
            "repetition": self.repetition,
            **({"intensities": True} if self.target in ("intensity", "both") else {}),
        }
        options = self.load_options() | common | {"folds_file": self.folds_file}
        rows = load_au_dataset(**options)
        if self.test_dataset is not None:
            shared = common | {name: options[name] for name in ("fold", "clip_length", "num_proc")}
            others = [load_au_dataset(**shared | more) for more in self.more_options()]
            test: dict[str, Any] = {"name": self.test_dataset, "data_dir": self.test_data_dir, **shared}
            tested = load_au_dataset(**test | self.test_options())
            rows = over_shared_aus([rows, *others], tested)
        if not any((labels != NOT_CODED).any() for labels in video_labels(rows["test"])):
            raise ValueError(f"no frame of the test subjects of fold {self.fold} is coded, so nothing can be scored.")
        if self.aus is None:
            return rows
        order = {name: place for place, name in enumerate(au_names(rows))}
        names = sorted({au_label(au) for au in self.aus}, key=lambda name: order.get(name, len(order)))
        return datasets.DatasetDict({split: select_aus(part, names) for split, part in rows.items()})

    def hold_out(self, rows: datasets.DatasetDict, inner_val: float, seed: int) -> datasets.DatasetDict:
        """Reduce the training subjects to `train_share`, and hold out "inner_val".

        Args:
            rows: Splits returned by `load`. They are modified.
            inner_val: Fraction of the remaining training subjects to evaluate on; 0 for none.
            seed: Random seed for drawing the subjects.
        """
        if self.train_share < 1:
            rows["train"], _ = inner_split(rows["train"], 1 - self.train_share, seed)
        if inner_val:
            rows["train"], rows["inner_val"] = inner_split(rows["train"], inner_val, seed)
        return rows

    @property
    def trained_datasets(self) -> list[str]:
        """Return the names of the datasets to train on."""
        return [self.dataset, *(more["name"] for more in self.more_options())]

    def describe(self) -> dict[str, Any]:
        """Describe the protocol to readers, without the paths of this machine."""
        folds = self.folds_file and Path(self.folds_file)
        return {
            "target": self.target,
            "dataset": self.test_dataset or self.dataset,
            "train_datasets": self.trained_datasets if self.test_dataset else None,
            "dataset_options": _without_paths(self.builder_options()),
            "test_dataset_options": _without_paths(self.test_options()),
            "more_datasets": [_without_paths(more) for more in self.more_options()],
            "fold": int(self.fold),
            "repetition": self.repetition,
            "folds_file": folds and f"{folds.name} (sha256 {hashlib.sha256(folds.read_bytes()).hexdigest()[:8]})",
        }


def _without_paths(options: dict[str, Any]) -> dict[str, Any]:
    """Select the options that change a dataset's rows, and cut paths to file names."""
    return {
        name: Path(value).name if isinstance(value, str) else value
        for name, value in sorted(options.items())
        if name not in ("num_proc", "cache_dir")
    }
