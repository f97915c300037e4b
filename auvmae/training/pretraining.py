"""Pre-train the masked autoencoder."""

import csv
from pathlib import Path
from typing import Any, cast

from torch import nn

from ..modeling_auvmae import AUVMAEForVideoPretraining
from .reference_losses import reference_losses
from .trainer import ClipTrainer

REPORT_FILE = "skipped_clips.csv"

ALWAYS_ALLOWED = 10

ROUNDING = 1e-6
"""Upper bound on `loss_patch_mean` of uniform frames, which have no variance to explain."""


class PretrainTrainer(ClipTrainer):
    """Pre-train `AUVMAEForVideoPretraining`, and log reference losses with its loss.

    `loss_patch_mean` and `loss_nearest_patch` are explained in `reference_losses`; `variance_explained` is 1 - loss /
    loss_patch_mean. All three describe this process's batch at the logged step, whereas `loss` is the mean since the
    last log line. Uniform frames have no `variance_explained`. If a clip has several masks, all of them enter the
    same batch. Clips that fail to decode are counted and listed.

    Args:
        args: Positional arguments of `transformers.Trainer`.
        max_skipped: Share of the clips that may fail to decode, see `SkippedClips`.
        kwargs: Keyword arguments of `transformers.Trainer`.
    """

    def __init__(self, *args: Any, max_skipped: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.skipped = SkippedClips(str(self.args.output_dir), max_skipped)
        self._references: dict[str, float] = {}

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        self.skipped.add(inputs.pop("skipped", []), len(inputs["clips"]), self.state.global_step)
        return super()._prepare_inputs(inputs)

    def forward(self, model: nn.Module, inputs: dict[str, Any]) -> Any:
        """Return the model's outputs, and compute the references before each log line."""
        pixel_values, mask = inputs["pixel_values"], inputs["bool_masked_pos"]
        pixel_values = pixel_values.repeat_interleave(len(mask) // len(pixel_values), dim=0)
        outputs = model(pixel_values, mask)
        # `state.logging_steps` is a number of steps, even if the flag was a ratio.
        if (self.state.global_step + 1) % self.state.logging_steps == 0:
            bare = cast(AUVMAEForVideoPretraining, self.accelerator.unwrap_model(model))
            self._references = reference_losses(bare, pixel_values, mask)
            if (variance := self._references["loss_patch_mean"]) > ROUNDING:
                self._references["variance_explained"] = 1 - outputs.loss.item() / variance
        return outputs

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log the references, and the number of skipped clips if it is not zero."""
        if "loss" in logs:
            logs = logs | self._references
            if self.skipped.count:
                logs["skipped_clips"] = self.skipped.count
        super().log(logs, *args, **kwargs)


class SkippedClips:
    """Count and list the clips that this process has skipped.

    Args:
        folder: Folder of `skipped_clips.csv` (columns `step`, `reason`). All processes of a run append to this file.
        max_share: Share of the clips that may be skipped, in [0, 1]. Ten clips are always allowed.
    """

    def __init__(self, folder: str | Path, max_share: float) -> None:
        self.report = Path(folder, REPORT_FILE)
        self.max_share = max_share
        self.seen = self.count = 0

    def add(self, reasons: list[str], clips: int, step: int) -> None:
        """Add the skipped clips of a batch.

        Args:
            reasons: One sentence per skipped clip.
            clips: Number of clips in the batch.
            step: Step of the run.

        Raises:
            RuntimeError: Too many clips were skipped.
        """
        self.seen += clips
        self.count += len(reasons)
        if not reasons:
            return
        self.report.parent.mkdir(parents=True, exist_ok=True)
        with self.report.open("a", newline="") as file:
            writer = csv.writer(file)
            if not file.tell():
                writer.writerow(("step", "reason"))
            writer.writerows((step, reason) for reason in reasons)
        if self.count > max(ALWAYS_ALLOWED, self.max_share * (self.seen + self.count)):
            raise RuntimeError(
                f"{self.count} of {self.seen + self.count} clips could not be decoded. The last one: {reasons[-1]} All "
                f"are listed in {self.report}. Check the disk and the decoder. Repair or remove the files, or raise "
                "--max_skipped, then resume with --resume_from_checkpoint true."
            )
