"""Arguments of the two scripts: defaults are the paper's where it gives one (quoted), and said to be ours elsewhere."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy

from ..configuration import LEVELS, AUVMAEConfig, Level
from ..data.clips import au_names, video_labels
from ..knowledge.losses import KnowledgeGuidedLoss
from ..modeling_auvmae import AUVMAEPreTrainedModel

TINY_ENCODER = Path(__file__).parents[1] / "tiny_encoder"
"""The packaged demonstration encoder, pre-trained on synthetic faces; `--model_name_or_path tiny`."""

RUN = "{run}"
"""Stands in --model_name_or_path for the name of the run, where there are several: `fold1`, `repeat1_fold1`."""

REFUSED: dict[str, tuple[Any, str]] = {
    "prediction_loss_only": (False, "the scores need the predictions"),
    "batch_eval_metrics": (False, "F1 is of all frames together, no mean over batches"),
    "eval_do_concat_batches": (True, "F1 is of all frames together, no mean over batches"),
    "include_for_metrics": ([], "F1 takes predictions and labels alone"),
    "label_names": (None, "the labels of clips are called labels"),
    "remove_unused_columns": (False, "clips need all of theirs"),
    "label_smoothing_factor": (0, "the loss (Eq. 9) has no smoothed labels"),
}
"""Flags that clips leave at these values, and why: a run would ignore others, or fail once it has trained."""


@dataclass
class RunArguments(TrainingArguments):
    """`TrainingArguments` with the defaults that every run of ours wants.

    Raises:
        ValueError: One of the flags `REFUSED` has another value.
    """

    do_train: bool = field(default=True, metadata={"help": "Train; `--no_do_train` only scores the test side."})
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Not for clips, which need theirs for decoding."}
    )
    dataloader_drop_last: bool = field(
        default=False, metadata={"help": "Leave out an epoch's last training batch if it is not full."}
    )
    ddp_find_unused_parameters: bool | None = field(
        default=False, metadata={"help": "Search for unused parameters at every step; these models have none."}
    )
    hub_strategy: HubStrategy | str = field(
        default="end",
        metadata={"help": "When --push_to_hub pushes: only at the end, since weights without scores have no card."},
    )

    def __post_init__(self) -> None:
        for name, (only, reason) in REFUSED.items():
            if (value := getattr(self, name)) != only:
                raise ValueError(f"--{name} {value}: {reason}. Leave it out.")
        super().__post_init__()


@dataclass
class ModelArguments:
    """Which weights to start from."""

    model_name_or_path: str | None = field(
        default=None,
        metadata={
            "help": "Checkpoint to start from: a folder or a Hub name of AU-vMAE or of any VideoMAE, or `tiny`, the "
            "packaged demonstration encoder. Without it, or with `none`, training starts from random weights."
        },
    )
    model_config: str = field(
        default="{}",
        metadata={
            "help": "Fields of AUVMAEConfig as JSON (in a recipe: a mapping), over those of the checkpoint or over "
            'the defaults (ViT-B/16, 224 pixels), e.g. {"num_frames": 128}.'
        },
    )

    def __post_init__(self) -> None:
        if self.model_name_or_path == "tiny":
            self.model_name_or_path = str(TINY_ENCODER)
        elif self.model_name_or_path == "none":  # over a recipe that names a checkpoint
            self.model_name_or_path = None
        self.given_start = self.model_name_or_path

    def name_run(self, run: str) -> None:
        """Put the name of the run in the place of `RUN`, which stays in `given_start`."""
        self.model_name_or_path = self.given_start and self.given_start.replace(RUN, run)

    def build(self, model_class: type[AUVMAEPreTrainedModel], **fields: Any) -> AUVMAEPreTrainedModel:
        """The model to train, in float32: from the checkpoint if there is one, else from random weights.

        Args:
            model_class: `AUVMAEForVideoPretraining` or `AUVMAEForFrameAUClassification`.
            fields: Fields of the configuration that the data or the level decide; `model_config` goes over them.
        """
        if self.model_name_or_path is None:
            return model_class(self.configure(**fields))
        fields |= json.loads(self.model_config)
        return model_class.from_pretrained(self.model_name_or_path, dtype=torch.float32, **fields)

    def configure(self, **fields: Any) -> AUVMAEConfig:
        """The configuration of the model that `build` gives."""
        fields |= json.loads(self.model_config)
        start = self.model_name_or_path
        return AUVMAEConfig(**fields) if start is None else AUVMAEConfig.from_pretrained(start, **fields)


@dataclass
class DataArguments:
    """Which clips to train and to score on."""

    dataset: str = field(
        default="synthetic",
        metadata={"help": "synthetic (embedded, rendered on first use), disfa, bp4d, or another builder's name."},
    )
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data set; not needed for synthetic."})
    fold: str = field(
        default="1",
        metadata={
            "help": "Subject-exclusive fold, from 1: which part of the subjects is the test side. Fine-tuning also "
            "takes `all`: one fold after the other, each into OUTPUT_DIR/foldK, and the table of them all."
        },
    )
    clip_length: int = field(
        default=128, metadata={"help": "Labelled frames per clip. Paper, Sec. 4.1: 'sub-videos comprising 128 frames'."}
    )
    video_backend: str = field(default="decord", metadata={"help": "decord, pyav, or torchcodec where installed."})
    num_proc: int | None = field(default=None, metadata={"help": "Processes that index the data set."})
    dataset_options: str = field(
        default="{}",
        metadata={
            "help": 'Further options of the builder as JSON (in a recipe: a mapping), e.g. {"drop_bad_frames": true}.'
        },
    )

    def load_options(self) -> dict[str, Any]:
        """Keyword arguments of `load_au_dataset`.

        Raises:
            ValueError: `fold` is no number.
        """
        if not self.fold.isdecimal():
            raise ValueError(f"--fold is a number from 1 (or, to fine-tune, all); found {self.fold!r}.")
        return {
            "name": self.dataset,
            "data_dir": self.data_dir,
            "fold": int(self.fold),
            "clip_length": self.clip_length,
            "num_proc": self.num_proc,
            **json.loads(self.dataset_options),
        }


@dataclass
class LossArguments:
    """Weights of Eq. 9."""

    cls_weight: float = field(default=1.0, metadata={"help": "Sec. 3.4: 'we experimentally set lambda_cls = 1.0'."})
    intra_weight: float = field(default=0.01, metadata={"help": "Sec. 3.4: 'lambda_intra = 0.01'."})
    inter_weight: float = field(default=0.01, metadata={"help": "Sec. 3.4: 'lambda_inter = 0.01'."})
    statistics_pool: int = field(
        default=0,
        metadata={
            "help": "Past training batches (of --gradient_accumulation_steps K, K make a step) whose statistics are "
            "pooled, detached, with the present ones. The paper's is 0; of few clips they are noise, which pooling "
            "steadies."
        },
    )

    def build(self, rows: datasets.Dataset) -> KnowledgeGuidedLoss:
        """Build the criterion of Eq. 9 from the labels of the training side, before augmentation."""
        return KnowledgeGuidedLoss.from_labels(
            video_labels(rows),
            self.cls_weight,
            self.intra_weight,
            self.inter_weight,
            self.statistics_pool,
            au_names(rows),
        )


@dataclass
class LevelArguments:
    """How a clip enters the encoder (Sec. 3.3)."""

    levels: list[str] = field(
        default_factory=lambda: ["video"],
        metadata={
            "help": "video (every frame), frame (every 4th), patch (half of the patches hidden), or several: then each "
            "batch is at one of them, drawn at random. The paper trains on one.",
            "choices": list(LEVELS),
        },
    )
    eval_level: str | None = field(
        default=None,
        metadata={"help": "Level to score at, and of the saved configuration; the first of --levels by default."},
    )
    eval_mask_ratio: float | None = field(
        default=None, metadata={"help": "Share of patches to hide when scoring; that of the level by default."}
    )

    def __post_init__(self) -> None:
        self.eval_level = self.eval_level or self.levels[0]
        if self.eval_level not in LEVELS:
            raise ValueError(f"--eval_level must be one of {', '.join(LEVELS)}, found {self.eval_level!r}.")

    @property
    def training(self) -> list[Level]:
        """The levels to train at."""
        return [LEVELS[name] for name in dict.fromkeys(self.levels)]

    @property
    def evaluation(self) -> Level:
        """The level to score at."""
        level = LEVELS[str(self.eval_level)]
        return level if self.eval_mask_ratio is None else level._replace(mask_ratio=self.eval_mask_ratio)


@dataclass
class PretrainArguments:
    """How much of a clip the masked autoencoder sees (Sec. 3.2)."""

    mask_ratio: float = field(
        default=0.9, metadata={"help": "Share of patches hidden by the tube mask. Sec. 4.1: 'a mask ratio of 0.9'."}
    )
    sampling_rate: int = field(
        default=1,
        metadata={
            "help": "Every k-th frame enters: 1 to fine-tune at video or patch level, 4 at frame level. Sec. 4.1: 'the "
            "sampling rate in pre-training is maintained the same as in fine-tuning'."
        },
    )
    masks_per_clip: int = field(
        default=1,
        metadata={
            "help": "Masks drawn for each decoded clip, all trained on in one step: cheaper where decoding is the "
            "bottleneck. The paper has one."
        },
    )
    decoder_mask_ratio: float = field(
        default=0.0,
        metadata={
            "help": "Share of the hidden patches that the decoder leaves out (VideoMAE V2's dual masking): cheaper "
            "steps. The paper reconstructs all of them."
        },
    )
    max_skipped: float = field(
        default=0.01,
        metadata={
            "help": "Share of the clips that may fail to decode. They are passed over and listed in "
            "skipped_clips.csv; more than this (and more than 10) end the run."
        },
    )
