"""Train on video clips with a subclass of the Transformers Trainer."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import CommitInfo
from torch import nn
from torch.utils.data import DataLoader, IterableDataset
from transformers import (
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
    HubStrategy,
    get_last_checkpoint,
    sort_checkpoints,
)
from transformers.utils import logging

from ..processors import AUVMAEImageProcessor
from ..system.files import check_writable
from ..system.hardware import keep_freed_memory
from .clock import Stopwatch, TrainingClock
from .onednn_linear import fast_linear

logger = logging.get_logger(__name__)

UNFINISHED_DIR = ".unfinished"


class ClipTrainer(Trainer):
    """Train on batches of clips.

    It adds the following to `transformers.Trainer`:

    * Frames: `processing_class` normalises the batch's uint8 `frames` to `pixel_values` on the model's device.
    * Streams: A dataset without a length gives each process its own clips, and passes over those of a resumed run by
      itself (`seen_batches`).
    * Epochs: The dataset is told each epoch. With several processes, accelerate's loader does not do so, and every
      epoch would repeat the flips and crops of the first.
    * Errors: If the loss is not finite, the error names the clips. Their names are in the batch as `clips`, and are
      removed before the model is called.
    * Logs: Training speed is logged as `clips_per_second` (over all processes), and the share of the time spent waiting
      for data as `data_wait`. `train_runtime` includes the sessions that a resumed run resumed.
    * Checkpoints: A checkpoint gets its name only once it is complete. A run that is killed while saving resumes from
      the previous checkpoint, and one that is killed after its last step trains no further.

    Args:
        args: Positional arguments of `transformers.Trainer`.
        push: Function that pushes a finished run, with the signature of `auvmae.runs.hub.push_run`. Without it,
            `push_to_hub` raises an error.
        kwargs: Keyword arguments of `transformers.Trainer`.
    """

    def __init__(self, *args: Any, push: Callable[..., CommitInfo] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.push = push
        if self.args.device.type == "cpu":
            keep_freed_memory()
        if self.train_dataset is not None:
            self.add_callback(_SetEpoch(self.train_dataset))
        self._stopwatch = Stopwatch()
        self.add_callback(self._stopwatch)
        self._clock = TrainingClock()
        self.add_callback(self._clock)
        self._save_dir: str | None = None  # set while a checkpoint is being written

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        """Fetch the batches of a step like `Trainer.get_batch_samples`, and time it."""
        if self.state.global_step >= self.state.max_steps:
            # the checkpoint to resume was the last one, killed before the end; Trainer would train one step more
            self.control.should_training_stop = True
            return [], None
        started = time.perf_counter()
        found = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._stopwatch.fetch(started, self.args.world_size * sum(len(batch["clips"]) for batch in found[0]))
        return found

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log the training speed, and the time of the whole training at its end."""
        if "train_runtime" in logs:
            logs = logs | {"train_runtime": round(self._clock.seconds, 4)}
        super().log(logs | self._stopwatch.pop() if "loss" in logs else logs, *args, **kwargs)

    def get_train_dataloader(self) -> DataLoader:
        """Return the loader of the training clips.

        A stream splits itself among processes and workers.
        """
        if not isinstance(self.train_dataset, IterableDataset):
            return super().get_train_dataloader()
        args, stream = self.args, cast(Any, self.train_dataset)
        stream.batch_size = self._train_batch_size  # --auto_find_batch_size changes it
        return DataLoader(
            stream,
            stream.batch_size,
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
        )

    def _get_dataloader(self, *args: Any, **kwargs: Any) -> DataLoader:
        drop_last = self.args.dataloader_drop_last
        # In evaluation, no clip may be dropped.
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
        except BaseException:  # interrupted, or the disk is full
            if self.args.should_save:
                shutil.rmtree(self._save_dir, ignore_errors=True)
            raise
        finally:
            self._save_dir = None
        if self.state.best_model_checkpoint == written:
            self.state.best_model_checkpoint = final
            if self.args.should_save:
                self.state.save_to_json(os.path.join(written, TRAINER_STATE_NAME))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            shutil.rmtree(final, ignore_errors=True)  # left by an earlier run in the same folder
            os.replace(written, final)
            _remove_surplus(run_dir, self.args.save_total_limit, self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        inputs = super()._prepare_inputs(inputs)
        processor = cast(AUVMAEImageProcessor, self.processing_class)
        pixel_values = processor.normalize_frames(inputs.pop("frames"))
        # With --bf16_full_eval or --fp16_full_eval, the model was cast.
        return {"pixel_values": pixel_values.to(cast(PreTrainedModel, self.model).dtype), **inputs}

    def training_step(self, model: nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Compute the gradients of a batch, with `fast_linear` where it works."""
        with fast_linear(model, self.args.device):
            return super().training_step(model, *args, **kwargs)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """Compute the loss of a batch, and check that it is finite.

        Raises:
            FloatingPointError: The loss is not finite. The error names the step and the clips.
        """
        inputs = dict(inputs)
        clips = inputs.pop("clips", None)
        outputs = self.forward(model, inputs)
        if not torch.isfinite(outputs.loss):
            raise FloatingPointError(
                f"The loss is {outputs.loss.item()} at step {self.state.global_step} on the clips {clips}. Inspect "
                "these files, lower the learning rate, or train without fp16. The last checkpoint is intact; resume "
                "from it with --resume_from_checkpoint."
            )
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def forward(self, model: nn.Module, inputs: dict[str, Any]) -> Any:
        """Return the model's outputs, with the training loss in `loss`."""
        return model(**inputs)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Create the Hub repository like `Trainer.init_hf_repo`, for a push at the end.

        Raises:
            ValueError: `hub_strategy` is not "end". During training, weights have no scores yet, and so no card.
        """
        if self.args.hub_strategy != HubStrategy.END:
            raise ValueError(
                f"--hub_strategy {HubStrategy(self.args.hub_strategy).value} would push weights that have no scores "
                "and no card yet. Use --hub_strategy end, which pushes weights and card together."
            )
        super().init_hf_repo(token, private)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save like `Trainer.save_model`, but never push.

        The weights need a card to be pushed, and the card can only be written once they are scored.
        """
        super().save_model(output_dir, _internal_call=True)

    def push_to_hub(  # type: ignore[override]
        self, commit_message: str = "Upload weights and model card", revision: str | None = None
    ) -> CommitInfo | None:
        """Push the finished run in `output_dir` to the Hub with `push`.

        `Trainer.push_to_hub` would overwrite our card by a generated one, and push the whole folder, pickles included.

        Returns:
            Commit on the Hub, or None on all processes but the main one.

        Raises:
            ValueError: The trainer was built without `push`.
        """
        if self.push is None:
            raise ValueError(
                f"{type(self).__name__} was built without a push function. Pass push=push_run from auvmae.runs.hub, "
                "which pushes the files of a finished run with its card."
            )
        if not self.is_world_process_zero():
            return None
        if self.hub_model_id is None:
            self.init_hf_repo()
        args = self.args
        private, revision = bool(args.hub_private_repo), revision or args.hub_revision
        folder, name = str(args.output_dir), str(self.hub_model_id)
        return self.push(folder, name, private, revision, args.hub_token, commit_message)


class _SetEpoch(TrainerCallback):
    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if hasattr(self.dataset, "set_epoch"):
            # After k epochs, `state.epoch` is k up to rounding.
            self.dataset.set_epoch(int((state.epoch or 0) + 1e-6))


def checkpoint_to_resume(args: TrainingArguments) -> str | None:
    """Return the checkpoint that `--resume_from_checkpoint` selects, if any.

    `true` selects the last checkpoint in `output_dir`.
    """
    resume, folder = args.resume_from_checkpoint, str(args.output_dir)
    if str(resume).lower() == "true":
        return get_last_checkpoint(folder) if os.path.isdir(folder) else None
    return resume


def _remove_surplus(run_dir: str, limit: int | None, best: str | None) -> None:
    """Remove the oldest checkpoints like `rotate_checkpoints`, each at once.

    A process that is killed meanwhile leaves parts of them in `UNFINISHED_DIR` only, which the next run removes.
    """
    checkpoints = sort_checkpoints(run_dir, use_mtime=True)
    if not limit or limit < 0 or not checkpoints:
        return
    kept = {checkpoints[-1], str(Path(best or checkpoints[-1]))}
    surplus = [path for path in checkpoints if path not in kept][: max(len(checkpoints) - max(limit, len(kept)), 0)]
    doomed = os.path.join(run_dir, UNFINISHED_DIR)
    try:
        for path in surplus:
            os.makedirs(doomed, exist_ok=True)
            os.replace(path, os.path.join(doomed, os.path.basename(path)))
        shutil.rmtree(doomed, ignore_errors=True)
    except BaseException:  # interrupted
        shutil.rmtree(doomed, ignore_errors=True)
        raise


def train(trainer: Trainer) -> None:
    """Train the model and save it, resuming if `--resume_from_checkpoint` is set.

    `true` resumes from the last checkpoint in `output_dir`, or starts from scratch if there is none. The same command
    can thus be repeated until the run is finished. With `--no_do_train`, nothing is trained or saved. Each file of the
    model is moved into place once it is complete.

    Raises:
        ValueError: The checkpoint was trained with another batch size.
    """
    args, folder = trainer.args, str(trainer.args.output_dir)
    if not args.do_train:
        return
    if args.should_save:
        check_writable(Path(folder))
        shutil.rmtree(os.path.join(folder, UNFINISHED_DIR), ignore_errors=True)
    resume = checkpoint_to_resume(args)
    if args.resume_from_checkpoint and resume is None:
        logger.warning(f"Found no checkpoint to resume from in {folder}. Training starts from scratch.")
    if resume is not None:
        state = _state_of(resume)
        _check_batch_size(args, resume, state)
        if isinstance(trainer.train_dataset, IterableDataset):
            # Trainer would decode all batches that it passes over
            cast(Any, trainer.train_dataset).seen_batches = state.global_step * args.gradient_accumulation_steps
            args.ignore_data_skip = True
        if args.should_save and Path(resume).resolve().parent == Path(folder).resolve():  # killed before it could
            _remove_surplus(folder, args.save_total_limit, state.best_model_checkpoint)
    trainer.train(resume_from_checkpoint=resume)
    written = os.path.join(folder, UNFINISHED_DIR)
    try:
        trainer.save_model(written)
        if args.should_save:
            for name in os.listdir(written):
                os.replace(os.path.join(written, name), os.path.join(folder, name))
    finally:
        if args.should_save:
            shutil.rmtree(written, ignore_errors=True)
    trainer.save_state()


def _state_of(checkpoint: str) -> TrainerState:
    path = Path(checkpoint, TRAINER_STATE_NAME)
    return TrainerState.load_from_json(str(path)) if path.is_file() else TrainerState()


def _check_batch_size(args: TrainingArguments, checkpoint: str, state: TrainerState) -> None:
    before = state.train_batch_size
    if before not in (None, args.train_batch_size) and not args.auto_find_batch_size:
        # Trainer would find its place in the epoch by counting steps of the new size.
        raise ValueError(
            f"{checkpoint} was trained with {before} clips per batch and device, but "
            f"--per_device_train_batch_size asks for {args.train_batch_size}. Resume with {before}, or choose "
            "another --output_dir."
        )
