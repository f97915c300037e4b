"""Pre-train the masked autoencoder of AU-vMAE on face video (Sec. 3.2).

Labels, if the dataset has any, are ignored.

    python run_pretrain.py                       # a tiny model on synthetic faces: the packaged encoder
    python run_pretrain.py recipes/pretrain_face_videos.yaml --data_dir crops/faces
    accelerate launch --config_file recipes/accelerate_8gpu.yaml run_pretrain.py recipes/... --data_dir ...
    python run_pretrain.py recipes/pretrain_face_videos.yaml --stream shards --max_steps 100000

Pass a recipe first; any flag of `transformers.TrainingArguments` after it overrides the recipe.
"""

import auvmae  # noqa: F401  before torch, so that threads sleep while they wait, and leave CPUs to loader workers

# isort: split
import sys
from functools import partial
from pathlib import Path

from transformers import set_seed

from auvmae.data import load_au_dataset
from auvmae.data.loading.loader import ClipCollator, ClipDataset
from auvmae.data.loading.shared_index import index_once
from auvmae.data.loading.streamed_clips import StreamedClips
from auvmae.data.loading.streams import open_stream
from auvmae.modeling_auvmae import AUVMAEForVideoPretraining
from auvmae.plotting.pretraining import plot_losses
from auvmae.plotting.style import save_figure
from auvmae.processors import AUVMAEImageProcessor
from auvmae.runs.arguments import DataArguments, ModelArguments, PretrainArguments, RunArguments
from auvmae.runs.description import describe_pretraining
from auvmae.runs.hub import push_run
from auvmae.runs.model_card import render_pretraining_card, save_card
from auvmae.runs.recipe import parse_arguments
from auvmae.runs.report import save_metrics
from auvmae.system.endings import EXPECTED, run_command
from auvmae.training.pretraining import PretrainTrainer
from auvmae.training.trainer import train

DEFAULT_RECIPE = Path(__file__).parent / "recipes" / "pretrain_synthetic_tiny.yaml"
ARGUMENTS = (ModelArguments, DataArguments, PretrainArguments, RunArguments)


def main(argv: list[str] | None = None) -> PretrainTrainer:
    """Run pre-training, save its results and return the trainer."""
    model_args, data_args, pretrain_args, args = parse_arguments(ARGUMENTS, argv, DEFAULT_RECIPE)
    set_seed(args.seed)
    pretrain_args.check_stream(args)
    # before the model, so that faulty data ends the run at once
    if pretrain_args.stream is None:
        rows = index_once(partial(load_au_dataset, **data_args.load_options()), args)["train"]
    else:
        stream = open_stream(pretrain_args.stream)
    model = model_args.build(
        AUVMAEForVideoPretraining,
        clip_length=data_args.clip_length,
        sampling_rate=pretrain_args.sampling_rate,
        mask_ratio=pretrain_args.mask_ratio,
        decoder_mask_ratio=pretrain_args.decoder_mask_ratio,
    )
    config = model.config
    processor = AUVMAEImageProcessor(config.image_size, config.image_mean, config.image_std)
    loading = {
        "resize": processor.resize_frames,
        "sampling_rate": config.sampling_rate,
        "augment": True,
        "seed": args.seed,
    }
    clips: ClipDataset | StreamedClips
    if pretrain_args.stream is None:
        clips = ClipDataset(rows, backend=data_args.video_backend, with_labels=False, skip_broken=True, **loading)
    else:
        clips = StreamedClips(
            stream,
            clip_length=config.clip_length,
            buffer=pretrain_args.stream_buffer,
            process=args.process_index,
            processes=args.world_size,
            **loading,
        )
    trainer = PretrainTrainer(
        model=model,
        args=args,
        train_dataset=clips,
        data_collator=ClipCollator.from_config(config, pretrain_args.masks_per_clip),
        processing_class=processor,
        max_skipped=pretrain_args.max_skipped,
        push=push_run,
    )
    train(trainer)
    if args.do_train and trainer.is_world_process_zero():
        run = describe_pretraining(trainer, model_args, data_args, pretrain_args)
        save_metrics(run, args.output_dir)
        save_figure(plot_losses(trainer.state.log_history), Path(args.output_dir, "figures", "losses.png"))
        save_card(render_pretraining_card(run, Path(args.output_dir).resolve().name), args.output_dir)
    if args.push_to_hub:
        trainer.push_to_hub()
    return trainer


if __name__ == "__main__":
    sys.exit(run_command(main, Path(__file__).name, EXPECTED))
