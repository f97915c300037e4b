"""Pre-training: what the Trainer of the masked autoencoder adds to that of any clips."""

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
"""A patch mean's loss on frames of one colour, where there is no variance to explain."""


class PretrainTrainer(ClipTrainer):
    """Pre-training of `AUVMAEForVideoPretraining`, with the references of its loss beside it in the log.

    `loss_patch_mean` and `loss_nearest_patch` (see `reference_losses`) and `variance_explained`, 1 - loss /
    loss_patch_mean, are of the batch of the step that is logged, in this process; `loss` is the mean since the last
    line. Frames of one colour have no `variance_explained`. Several masks of a clip are trained on together. Clips that
    did not decode are counted and listed.

    Args:
        args: Those of `transformers.Trainer`.
        max_skipped: Share of the clips that may fail to decode, see `SkippedClips`.
        kwargs: Those of `transformers.Trainer`.
    """

    def __init__(self, *args: Any, max_skipped: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.skipped = SkippedClips(str(self.args.output_dir), max_skipped)
        self._references: dict[str, float] = {}

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        self.skipped.add(inputs.pop("skipped", []), len(inputs["clips"]), self.state.global_step)
        return super()._prepare_inputs(inputs)

    def forward(self, model: nn.Module, inputs: dict[str, Any]) -> Any:
        """The model's outputs; before a line of the log, also the references."""
        pixel_values, mask = inputs["pixel_values"], inputs["bool_masked_pos"]
        pixel_values = pixel_values.repeat_interleave(len(mask) // len(pixel_values), dim=0)
        outputs = model(pixel_values, mask)
        # `state` has the step as a number, however the flag gave it
        if (self.state.global_step + 1) % self.state.logging_steps == 0:
            bare = cast(AUVMAEForVideoPretraining, self.accelerator.unwrap_model(model))
            self._references = reference_losses(bare, pixel_values, mask)
            if (variance := self._references["loss_patch_mean"]) > ROUNDING:
                self._references["variance_explained"] = 1 - outputs.loss.item() / variance
        return outputs

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Put the references, and the number of clips passed over if there are any, into the training log lines."""
        if "loss" in logs:
            logs = logs | self._references
            if self.skipped.count:
                logs["skipped_clips"] = self.skipped.count
        super().log(logs, *args, **kwargs)


class SkippedClips:
    """What a run passed over, in this process.

    Args:
        folder: Gets `skipped_clips.csv` (columns `step`, `reason`), to which all processes of a run append.
        max_share: Share of the clips that may be passed over, in [0, 1]; ten of them may be in any case.
    """

    def __init__(self, folder: str | Path, max_share: float) -> None:
        self.report = Path(folder, REPORT_FILE)
        self.max_share = max_share
        self.seen = self.count = 0

    def add(self, reasons: list[str], clips: int, step: int) -> None:
        """Note what a batch passed over.

        Args:
            reasons: One sentence for each clip passed over.
            clips: Clips in the batch.
            step: Step of the run.

        Raises:
            RuntimeError: There were too many.
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
                f"{self.count} of {self.seen + self.count} clips do not decode, the last one: {reasons[-1]} All are "
                f"listed in {self.report}. Look whether the disk or the decoder is at fault; mend the files, take them "
                "out, or allow more with --max_skipped, and go on with --resume_from_checkpoint true."
            )
