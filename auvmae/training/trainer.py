"""Training: why a Trainer of our own, and what it adds to the Transformers one."""

import os
import shutil
import time
from collections.abc import Iterator, Sized
from typing import Any, cast

import numpy as np
import torch
from huggingface_hub import CommitInfo
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import (
    PREFIX_CHECKPOINT_DIR,
    EvalLoopOutput,
    HubStrategy,
    get_last_checkpoint,
    rotate_checkpoints,
)
from transformers.utils import logging

from ..evaluation.metrics import au_metrics
from ..knowledge.losses import KnowledgeGuidedLoss
from ..processors import AUVMAEImageProcessor
from .ema import EMATrainer
from .layer_decay import LayerDecayTrainer
from .throughput import Stopwatch

logger = logging.get_logger(__name__)

UNFINISHED_DIR = ".unfinished"
CRITERION_FILE = "criterion.safetensors"
TERMS = ("loss_cls", "loss_intra", "loss_inter")


class ClipTrainer(Trainer):
    """Trainer over clips: normalises their frames, tells the data set the epoch, and names the clips of a NaN.

    The batch's uint8 `frames` become `pixel_values` on the model's device, by `processing_class`. The log says how fast
    the run is (`clips_per_second`, of all processes) and which share of the time it waits for its data (`data_wait`).
    A checkpoint bears its name only once it is whole: a run that is killed while saving resumes from the one before.
    accelerate's loader forgets to pass the epoch on to the data set on several processes, where every epoch would
    then repeat the flips and crops of the first. A clip's name travels in the batch as `clips` and never reaches the
    model.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.train_dataset is not None:
            self.add_callback(_SetEpoch(self.train_dataset))
        self._stopwatch = Stopwatch()
        self.add_callback(self._stopwatch)
        self._save_dir: str | None = None  # while a checkpoint is written

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        """`Trainer.get_batch_samples`, timed."""
        started = time.perf_counter()
        found = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._stopwatch.fetch(started, self.args.world_size * sum(len(batch["clips"]) for batch in found[0]))
        return found

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Put the speed into the training log lines."""
        super().log(logs | self._stopwatch.pop() if "loss" in logs else logs, *args, **kwargs)

    def _get_dataloader(self, *args: Any, **kwargs: Any) -> DataLoader:
        drop_last = self.args.dataloader_drop_last
        # every clip that is there to be scored is scored
        self.args.dataloader_drop_last = drop_last and kwargs.get("is_training", False)
        try:
            return super()._get_dataloader(*args, **kwargs)
        finally:
            self.args.dataloader_drop_last = drop_last

    def _get_output_dir(self, trial: Any) -> str:
        return self._save_dir or super()._get_output_dir(trial)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        run_dir = self._get_output_dir(trial)
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        self._save_dir = os.path.join(run_dir, UNFINISHED_DIR)
        written, final = os.path.join(self._save_dir, name), os.path.join(run_dir, name)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._save_dir = None
        if self.state.best_model_checkpoint == written:
            self.state.best_model_checkpoint = final
            if self.args.should_save:
                self.state.save_to_json(os.path.join(written, TRAINER_STATE_NAME))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            shutil.rmtree(final, ignore_errors=True)  # of an earlier run into the same folder
            os.replace(written, final)
            limit, best = self.args.save_total_limit, self.state.best_model_checkpoint
            rotate_checkpoints(output_dir=run_dir, save_total_limit=limit, best_model_checkpoint=best, use_mtime=True)
        self.accelerator.wait_for_everyone()

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        inputs = super()._prepare_inputs(inputs)
        processor = cast(AUVMAEImageProcessor, self.processing_class)
        pixel_values = processor.normalize_frames(inputs.pop("frames"))
        # --bf16_full_eval and --fp16_full_eval have cast the model
        return {"pixel_values": pixel_values.to(cast(PreTrainedModel, self.model).dtype), **inputs}

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """`Trainer.compute_loss` of the batch without its names.

        Raises:
            FloatingPointError: The loss is not finite; names the step and the clips.
        """
        inputs = dict(inputs)
        clips = inputs.pop("clips", None)
        outputs = self.forward(model, inputs)
        if not torch.isfinite(outputs.loss):
            raise FloatingPointError(
                f"The loss is {outputs.loss.item()} at step {self.state.global_step} on the clips {clips}. Look at "
                "these files, lower the learning rate, or train without fp16; the last checkpoint is intact: continue "
                "from it with --resume_from_checkpoint."
            )
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def forward(self, model: nn.Module, inputs: dict[str, Any]) -> Any:
        """The model's outputs, with the loss to train on in `loss`."""
        return model(**inputs)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """`Trainer.init_hf_repo`, for a push at the end.

        Raises:
            ValueError: Another `hub_strategy`: weights in the middle of training have no scores, so no card.
        """
        if self.args.hub_strategy != HubStrategy.END:
            raise ValueError(
                f"--hub_strategy {HubStrategy(self.args.hub_strategy).value} would push weights that have no scores "
                "yet, and so no card. Use --hub_strategy end: weights and card go up together."
            )
        super().init_hf_repo(token, private)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """`Trainer.save_model` without its push: the card of these weights can only be written once they are scored."""
        super().save_model(output_dir, _internal_call=True)

    def push_to_hub(  # type: ignore[override]
        self, commit_message: str = "Weights and card of a run", revision: str | None = None
    ) -> CommitInfo | None:
        """Push the finished run in `output_dir` by `auvmae.runs.hub.push_run`; None on all processes but the main one.

        Trainer's own writes a generated card over ours and pushes the whole folder, pickles included.
        """
        from ..runs.hub import push_run  # what a run draws and writes needs this module

        if not self.is_world_process_zero():
            return None
        if self.hub_model_id is None:
            self.init_hf_repo()
        args = self.args
        private, revision = bool(args.hub_private_repo), revision or args.hub_revision
        return push_run(str(args.output_dir), str(self.hub_model_id), private, revision, args.hub_token, commit_message)


class _SetEpoch(TrainerCallback):
    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if hasattr(self.dataset, "set_epoch"):
            # a finished epoch ends at its successor's number, up to rounding
            self.dataset.set_epoch(int((state.epoch or 0) + 1e-6))


class AUVMAETrainer(ClipTrainer, EMATrainer, LayerDecayTrainer):
    """Fine-tuning with the loss of Eq. 9.

    It compares the batch with statistics of the training fold, which belong to a run and not to a model: so the
    criterion lives here, and a model's own `loss` stays what any Transformers classifier returns. The three terms
    stand beside `loss` in every log line, in training and in evaluation.

    Args:
        args: Those of `transformers.Trainer`.
        criterion: Built by `KnowledgeGuidedLoss.from_labels` from the training fold before augmentation.
        train_sampler: Order of the training clips; the Transformers Trainer's if None.
        kwargs: Those of `transformers.Trainer`, `ema_decay`, `layer_decay`.
    """

    def __init__(
        self, *args: Any, criterion: KnowledgeGuidedLoss, train_sampler: Sampler | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.train_sampler = train_sampler
        self.criterion = criterion.to(self.args.device)
        self._terms: dict[bool, list[torch.Tensor]] = {True: [], False: []}  # by "in training"

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        return self.train_sampler or super()._get_train_sampler(train_dataset)

    def forward(self, model: nn.Module, inputs: dict[str, Any]) -> Any:
        """Logits of the model, loss of the criterion."""
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        self.criterion.train(model.training)
        losses = self.criterion(outputs.logits, labels)
        self._terms[model.training].append(torch.stack([losses[term] for term in TERMS]).detach())
        outputs["loss"] = losses.loss
        return outputs

    def _pop_terms(self, training: bool, clips: list[int] | None = None) -> dict[str, float]:
        """Means since the last call, over batches of so many `clips` if given, as the loss is.

        Every process holds the global batch's terms, so none are gathered.
        """
        terms, self._terms[training] = self._terms[training], []
        if not terms:
            return {}
        means = np.average(torch.stack(terms).cpu().numpy(), axis=0, weights=clips)
        return dict(zip(TERMS, means.tolist(), strict=True))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Put the terms of the loss into the training log lines."""
        super().log(logs | self._pop_terms(training=True) if "loss" in logs else logs, *args, **kwargs)

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Put the terms of the loss into the evaluation's metrics."""
        self._terms[False] = []  # of an evaluation that broke off
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        batches_are_global = cast(Any, self.args.accelerator_config).split_batches
        size = self.args.eval_batch_size * (1 if batches_are_global else self.args.world_size)
        clips = len(cast(Sized, dataloader.dataset))
        terms = self._pop_terms(training=False, clips=[min(size, clips - first) for first in range(0, clips, size)])
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in terms.items()}
        return output._replace(metrics=(output.metrics or {}) | metrics)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the criterion with the model: its priors belong to the weights, its pool to the training state."""
        super().save_model(output_dir, _internal_call)
        if self.args.should_save:
            path = os.path.join(output_dir or str(self.args.output_dir), CRITERION_FILE)
            save_file(self.criterion.state_dict(), path)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.criterion.load_state_dict(load_file(os.path.join(checkpoint, CRITERION_FILE)))


class FrameAUMetrics:
    """`compute_metrics` of a fold: every coded frame of the evaluation set, scored once.

    Args:
        au_names: N names in the order of the logits.
    """

    def __init__(self, au_names: list[str]) -> None:
        self.au_names = au_names

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """`(clips, T, N)` logits and labels -> fractions, see `au_metrics`."""
        shape = (-1, len(self.au_names))
        probs, labels = frame_probs(np.asarray(prediction.predictions)), np.asarray(prediction.label_ids)
        return au_metrics(probs.reshape(shape), labels.reshape(shape), self.au_names)


def frame_probs(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Logits to probabilities, same shape, float32."""
    return torch.as_tensor(logits).float().sigmoid().numpy()


def checkpoint_to_resume(args: TrainingArguments) -> str | None:
    """The checkpoint that `--resume_from_checkpoint` names: `true` is the last one in `output_dir`, if there is one."""
    resume, folder = args.resume_from_checkpoint, str(args.output_dir)
    if str(resume).lower() == "true":
        return get_last_checkpoint(folder) if os.path.isdir(folder) else None
    return resume


def train(trainer: Trainer) -> None:
    """Train, from a checkpoint if `--resume_from_checkpoint` says so, and save.

    `true` means the last one in `output_dir`, or a new start where there is none, so that one command may be given
    again and again until the run is through. With `--no_do_train` nothing is trained or saved. Each file of the model
    takes its place once it is whole.
    """
    args, folder = trainer.args, str(trainer.args.output_dir)
    if not args.do_train:
        return
    if args.should_save:
        shutil.rmtree(os.path.join(folder, UNFINISHED_DIR), ignore_errors=True)
    resume = checkpoint_to_resume(args)
    if args.resume_from_checkpoint and resume is None:
        logger.warning(f"There is no checkpoint in {folder} to resume from: training starts anew.")
    trainer.train(resume_from_checkpoint=resume)
    written = os.path.join(folder, UNFINISHED_DIR)
    trainer.save_model(written)
    if args.should_save:
        for name in os.listdir(written):
            os.replace(os.path.join(written, name), os.path.join(folder, name))
        os.rmdir(written)
    trainer.save_state()
