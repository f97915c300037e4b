"""Define the arguments of the two scripts.

Defaults follow the paper and quote it. Where the paper is silent, the help text says so.
"""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy

from ..configuration import LEVELS, AUVMAEConfig, Level
from ..data.clips import au_names, video_labels
from ..data.loading.streams import is_local
from ..knowledge.intensity_losses import INTENSITY_LOSSES
from ..knowledge.losses import KnowledgeGuidedLoss
from ..modeling_auvmae import AUVMAEPreTrainedModel
from ..system.settings import parse_json, parse_options
from ..weights import DEFAULT_MODEL, packaged_path

RUN = "{run}"
"""Placeholder in --model_name_or_path for the name of each of several runs: `fold1`, `repeat1_fold1`."""

REFUSED: dict[str, tuple[Any, str]] = {
    "prediction_loss_only": (False, "the metrics need the predictions"),
    "batch_eval_metrics": (False, "F1 is computed over all frames together, not averaged over batches"),
    "eval_do_concat_batches": (True, "F1 is computed over all frames together, not averaged over batches"),
    "include_for_metrics": ([], "F1 is computed from predictions and labels only"),
    "label_names": (None, "the labels of a clip are always called labels"),
    "remove_unused_columns": (False, "decoding a clip needs all of its columns"),
    "label_smoothing_factor": (0, "the loss (Eq. 9) does not support smoothed labels"),
}
"""Flags that must keep these values, and why. A run would ignore any other value, or fail after training."""


@dataclass
class RunArguments(TrainingArguments):
    """Change the defaults of `TrainingArguments` to those that every run needs.

    Raises:
        ValueError: A flag in `REFUSED` has another value, or `output_dir` is a file.
    """

    do_train: bool = field(
        default=True, metadata={"help": "Train the model. `--no_do_train` only scores it on the test split."}
    )
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Must stay false: decoding a clip needs all of its columns."}
    )
    dataloader_drop_last: bool = field(
        default=False, metadata={"help": "Drop the last training batch of an epoch if it is not full."}
    )
    ddp_find_unused_parameters: bool | None = field(
        default=False, metadata={"help": "Search for unused parameters at every step. These models have none."}
    )
    hub_strategy: HubStrategy | str = field(
        default="end",
        metadata={"help": "When to push with --push_to_hub. Only `end` works: weights without scores have no card."},
    )

    def __post_init__(self) -> None:
        for name, (only, reason) in REFUSED.items():
            if (value := getattr(self, name)) != only:
                raise ValueError(f"--{name} {value} is not supported: {reason}. Omit this flag.")
        if self.output_dir is not None:
            output = Path(self.output_dir).absolute()
            found = next(path for path in (output, *output.parents) if path.exists())
            if not found.is_dir():
                raise ValueError(f"--output_dir {self.output_dir} must be a folder, but {found} is a file.")
        super().__post_init__()


@dataclass
class ModelArguments:
    """Choose the weights to start from."""

    model_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "Checkpoint to start from: a folder or Hub name of any AU-vMAE or VideoMAE model, `portraits`, the "
            "packaged detector, `tiny`, the packaged demonstration encoder, or `none`, random weights. By default, "
            "pre-training starts from random weights. So does fine-tuning with --model_config; otherwise it starts "
            "from `portraits`."
        },
    )
    model_config: str = field(
        default="{}",
        metadata={
            "help": 'Fields of AUVMAEConfig as JSON (in a recipe: a mapping), e.g. {"num_frames": 128}. They override '
            "those of the checkpoint or, without one, the defaults (ViT-B/16, 224 pixels)."
        },
    )

    def __post_init__(self) -> None:
        described = parse_json(self.model_config, "--model_config")
        self.names_no_start = self.model_name_or_path is None and not described
        if self.model_name_or_path == "none":  # overrides the checkpoint of a recipe
            self.model_name_or_path = None
        elif self.model_name_or_path is not None:
            self.model_name_or_path = packaged_path(self.model_name_or_path)
        self.given_start = self.model_name_or_path
        self.heads: dict[str, bool] = {}  # which heads the run trains; they override `model_config`

    def start_from_default(self) -> None:
        """Start from the packaged detector where neither a start nor a model is named."""
        if self.names_no_start:
            self.model_name_or_path = self.given_start = packaged_path(DEFAULT_MODEL)

    def name_run(self, run: str) -> None:
        """Replace the placeholder `RUN` with the name of the run; `given_start` keeps it."""
        self.model_name_or_path = self.given_start and self.given_start.replace(RUN, run)

    def build(self, model_class: type[AUVMAEPreTrainedModel], **fields: Any) -> AUVMAEPreTrainedModel:
        """Build the model to train, in float32.

        Its weights come from the checkpoint. Without one, they are random.

        Args:
            model_class: `AUVMAEForVideoPretraining` or `AUVMAEForFrameAUClassification`.
            fields: Fields of the configuration that follow from the data or the level. `model_config` overrides them,
                and `heads` overrides both.
        """
        if self.model_name_or_path is None:
            return model_class(self.configure(**fields))
        fields |= parse_json(self.model_config, "--model_config") | self.heads
        return model_class.from_pretrained(self.model_name_or_path, dtype=torch.float32, **fields)

    def configure(self, **fields: Any) -> AUVMAEConfig:
        """Build the configuration of the model that `build` returns."""
        fields |= parse_json(self.model_config, "--model_config") | self.heads
        start = self.model_name_or_path
        return AUVMAEConfig(**fields) if start is None else AUVMAEConfig.from_pretrained(start, **fields)


@dataclass
class DataArguments:
    """Choose the clips to train and to score on."""

    dataset: str = field(
        default="synthetic",
        metadata={
            "help": "Dataset: synthetic (embedded, rendered on first use), portraits, disfa, bp4d, or another builder."
        },
    )
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the dataset; not needed for synthetic."})
    portraits_dir: str | None = field(
        default=None,
        metadata={"help": "Folder of assets-person-portrait, to render the dataset portraits on first use."},
    )
    rig_dir: str | None = field(
        default=None, metadata={"help": "Folder of ICT-FaceKit, to render the dataset portraits on first use."}
    )
    fold: str = field(
        default="1",
        metadata={
            "help": "Subject-exclusive fold, counted from 1, whose subjects form the test split. Fine-tuning also "
            "accepts `all`: the folds run one after the other, each in OUTPUT_DIR/foldK, and are summarised in tables."
        },
    )
    clip_length: int = field(
        default=128, metadata={"help": "Labelled frames per clip. Paper, Sec. 4.1: 'sub-videos comprising 128 frames'."}
    )
    video_backend: str = field(
        default="pyav", metadata={"help": "Video decoder: pyav, decord, or torchcodec if it is installed."}
    )
    num_proc: int | None = field(default=None, metadata={"help": "Number of processes that index the dataset."})
    dataset_options: str = field(
        default="{}",
        metadata={
            "help": "Further options of the dataset builder as JSON (in a recipe: a mapping), e.g. "
            '{"drop_bad_frames": true}.'
        },
    )

    def __post_init__(self) -> None:
        self.builder_options()

    def builder_options(self) -> dict[str, Any]:
        """Return the options in `dataset_options`.

        Raises:
            ValueError: They are not a JSON mapping, or one of them is also a flag.
        """
        flags = {"name": "--dataset"} | {one.name: f"--{one.name}" for one in fields(self)}
        return parse_options(self.dataset_options, "--dataset_options", flags)

    def load_options(self) -> dict[str, Any]:
        """Return the keyword arguments of `load_au_dataset`.

        Raises:
            ValueError: `fold` is not a number.
        """
        if not re.fullmatch("[0-9]{1,9}", self.fold) or not int(self.fold):
            raise ValueError(f"--fold must be a number from 1 (or, to fine-tune, `all`), found {self.fold!r}.")
        sources = {"portraits_dir": self.portraits_dir, "rig_dir": self.rig_dir}
        return {
            "name": self.dataset,
            "data_dir": self.data_dir,
            "fold": int(self.fold),
            "clip_length": self.clip_length,
            "num_proc": self.num_proc,
            **{name: folder for name, folder in sources.items() if folder is not None},
            **self.builder_options(),
        }


@dataclass
class LossArguments:
    """Weight the terms of the loss (Eq. 9)."""

    cls_weight: float = field(
        default=1.0,
        metadata={"help": "Weight of the classification loss. Sec. 3.4: 'we experimentally set lambda_cls = 1.0'."},
    )
    intra_weight: float = field(
        default=0.01, metadata={"help": "Weight of the intra-frame loss. Sec. 3.4: 'lambda_intra = 0.01'."}
    )
    inter_weight: float = field(
        default=0.01, metadata={"help": "Weight of the inter-frame loss. Sec. 3.4: 'lambda_inter = 0.01'."}
    )
    statistics_pool: int = field(
        default=0,
        metadata={
            "help": "Number of past training batches whose statistics are pooled, detached, with those of the current "
            "batch (with --gradient_accumulation_steps K, a step has K batches). The paper uses 0. The statistics of a "
            "few clips are noisy, and pooling stabilises them."
        },
    )

    intensity_weight: float = field(
        default=1.0,
        metadata={
            "help": "Weight of the loss of intensities, if the dataset has them and the model grades them "
            "(grade_intensities in --model_config). The paper has no such term."
        },
    )
    intensity_loss: str = field(
        default="binomial",
        metadata={
            "help": "Loss of intensities: binomial, the cross-entropy with the fraction of the highest intensity, or "
            "cumulative, the likelihood of ordered grades (proportional odds; McCullagh, 1980).",
            "choices": list(INTENSITY_LOSSES),
        },
    )
    ranking_weight: float = field(
        default=0.0,
        metadata={
            "help": "Weight of a loss that orders the frames of each clip by intensity, under the same conditions. "
            "Models learn much sooner with it, since what the frames of a clip share cancels out. The paper has no "
            "such term."
        },
    )

    def build(self, rows: datasets.Dataset, occurrences: bool = True) -> KnowledgeGuidedLoss:
        """Build the criterion of Eq. 9 from the training labels before augmentation.

        All its weights are 0 if `occurrences` are not trained.
        """
        weights = self.cls_weight, self.intra_weight, self.inter_weight
        return KnowledgeGuidedLoss.from_labels(
            video_labels(rows),
            *(weights if occurrences else (0.0, 0.0, 0.0)),
            self.statistics_pool,
            au_names(rows),
        )


@dataclass
class LevelArguments:
    """Choose how clips enter the encoder (Sec. 3.3)."""

    levels: list[str] = field(
        default_factory=lambda: ["video"],
        metadata={
            "help": "Input level of training: video (every frame), frame (every fourth frame) or patch (half of the "
            "patches masked). With several levels, each batch uses one, drawn at random; one that is named twice is "
            "drawn twice as often. The paper trains on one.",
            "choices": list(LEVELS),
        },
    )
    eval_level: str | None = field(
        default=None,
        metadata={"help": "Input level of scoring and of the saved configuration; by default the first of --levels."},
    )
    eval_mask_ratio: float | None = field(
        default=None, metadata={"help": "Fraction of patches masked in scoring; by default that of the level."}
    )

    def __post_init__(self) -> None:
        self.eval_level = self.eval_level or self.levels[0]
        if self.eval_level not in LEVELS:
            raise ValueError(f"--eval_level must be one of {', '.join(LEVELS)}, found {self.eval_level!r}.")

    @property
    def training(self) -> list[Level]:
        """Return the levels to train at, as often as they are named."""
        return [LEVELS[name] for name in self.levels]

    @property
    def evaluation(self) -> Level:
        """Return the level to score at."""
        level = LEVELS[str(self.eval_level)]
        return level if self.eval_mask_ratio is None else level._replace(mask_ratio=self.eval_mask_ratio)


@dataclass
class PretrainArguments:
    """Choose how much of a clip the masked autoencoder sees (Sec. 3.2)."""

    mask_ratio: float = field(
        default=0.9, metadata={"help": "Fraction of patches hidden by the tube mask. Sec. 4.1: 'a mask ratio of 0.9'."}
    )
    sampling_rate: int = field(
        default=1,
        metadata={
            "help": "Sample every k-th frame: 1 to fine-tune at video or patch level, 4 at frame level. Sec. 4.1: 'the "
            "sampling rate in pre-training is maintained the same as in fine-tuning'."
        },
    )
    masks_per_clip: int = field(
        default=1,
        metadata={
            "help": "Number of masks drawn for each decoded clip, all used in the same step. This saves time where "
            "decoding is the bottleneck. The paper uses one."
        },
    )
    decoder_mask_ratio: float = field(
        default=0.0,
        metadata={
            "help": "Fraction of the hidden patches that the decoder skips (the dual masking of VideoMAE V2), which "
            "makes steps cheaper. The paper reconstructs all hidden patches."
        },
    )
    max_skipped: float = field(
        default=0.01,
        metadata={
            "help": "Fraction of clips that may fail to decode. They are skipped and listed in skipped_clips.csv. The "
            "run stops if more than this fraction, and more than 10 clips, fail."
        },
    )
    stream: str | None = field(
        default=None,
        metadata={
            "help": "Folder or pattern of WebDataset shards (.tar), or name of a video dataset on the Hub, which is "
            "read in order in place of --dataset. Needs --max_steps. See docs/pretraining.md."
        },
    )
    stream_buffer: int = field(
        default=256,
        metadata={
            "help": "Number of encoded videos that each loader worker of a --stream keeps in memory and draws the next "
            "from."
        },
    )

    def check_stream(self, args: TrainingArguments) -> None:
        """Check that training from a stream has an end.

        Raises:
            ValueError: There is a stream but no number of steps, or no buffer.
        """
        if self.stream is not None and args.max_steps < 1:
            raise ValueError("--stream has no end, so --max_steps must be the number of training steps.")
        if self.stream_buffer < 1:
            raise ValueError(f"--stream_buffer must be at least 1, found {self.stream_buffer}.")

    @property
    def stream_name(self) -> str | None:
        """Return the name of the stream without local folders.

        A name of the Hub is returned as it is.
        """
        return Path(self.stream).resolve().name if self.stream is not None and is_local(self.stream) else self.stream
