"""Test training, logging, resuming and errors with a real Trainer on real tensors."""

import json
import os
import shutil
from importlib.metadata import version

import numpy as np
import pytest
import torch
from packaging.version import Version
from transformers import TrainerState

from auvmae.data.loading.loader import ClipCollator
from auvmae.evaluation.metrics import au_metrics
from auvmae.modeling_auvmae import AUVMAEForVideoPretraining
from auvmae.processors import AUVMAEImageProcessor
from auvmae.training.finetuning import AUVMAETrainer
from auvmae.training.trainer import ClipTrainer, train
from tests.support.tiny_training import TinyClips, arguments, finetuner, losses_of, weighted

from ..support.tiny import randomise, tiny_config


@pytest.mark.medium
def test_one_step_moves_every_parameter(tmp_path):
    trainer = finetuner(tmp_path, max_steps=1)
    before = {name: tensor.clone() for name, tensor in trainer.model.named_parameters()}
    trainer.train()
    assert [name for name, tensor in trainer.model.named_parameters() if torch.equal(tensor, before[name])] == []


@pytest.mark.medium
def test_one_pretraining_step_moves_every_parameter(tmp_path):
    config = tiny_config(mask_ratio=0.5)
    trainer = ClipTrainer(
        model=randomise(AUVMAEForVideoPretraining(config)),
        args=arguments(tmp_path, max_steps=1),
        train_dataset=TinyClips(),
        data_collator=ClipCollator.from_config(config),
        processing_class=AUVMAEImageProcessor(20),
    )
    before = {name: tensor.clone() for name, tensor in trainer.model.named_parameters()}
    trainer.train()
    assert [name for name, tensor in trainer.model.named_parameters() if torch.equal(tensor, before[name])] == []


@pytest.mark.medium
def test_terms_are_logged_in_training_and_evaluation(tmp_path):
    trainer = finetuner(tmp_path, max_steps=2)
    trainer.train()
    line = trainer.state.log_history[0]
    assert line["loss"] == pytest.approx(line["loss_cls"] + 0.01 * (line["loss_intra"] + line["loss_inter"]), rel=1e-4)
    metrics = trainer.evaluate()
    assert {"eval_loss", "eval_loss_cls", "eval_loss_intra", "eval_loss_inter", "eval_f1"} <= set(metrics)
    assert "eval_loss_cls" in trainer.state.log_history[-1]


@pytest.mark.parametrize(
    "loader",
    [
        {},
        pytest.param(
            {"dispatch_batches": True},
            marks=pytest.mark.skipif(
                Version(version("accelerate")) < Version("1.4"), reason="accelerate 1.3 cannot dispatch strings"
            ),
        ),
    ],
)
@pytest.mark.parametrize("size", [3, 5, 8])
def test_terms_of_an_evaluation_make_up_its_loss_whatever_the_batch(tmp_path, size, loader):
    trainer = finetuner(tmp_path, per_device_eval_batch_size=size, accelerator_config=loader)
    found = trainer.evaluate()
    assert found["eval_loss"] == pytest.approx(weighted(found), rel=1e-6)
    processor, labels = AUVMAEImageProcessor(20), trainer.eval_dataset.labels
    logits = trainer.model(processor.normalize_frames(trainer.eval_dataset.frames)).logits
    terms = [trainer.criterion(*batch) for batch in zip(logits.split(size), labels.split(size), strict=True)]
    shares = [len(batch) / len(labels) for batch in labels.split(size)]
    for name in ("loss_cls", "loss_intra", "loss_inter"):
        expected = sum(share * term[name].item() for share, term in zip(shares, terms, strict=True))
        assert found[f"eval_{name}"] == pytest.approx(expected, rel=1e-5)


def test_metrics_are_those_of_all_coded_frames(tmp_path):
    trainer = finetuner(tmp_path)
    prediction = trainer.predict(trainer.eval_dataset)
    probs = torch.tensor(prediction.predictions).sigmoid().numpy().reshape(-1, 3)
    expected = au_metrics(probs, trainer.eval_dataset.labels.numpy().reshape(-1, 3), ["AU1", "AU2", "AU12"])
    assert {name: prediction.metrics[f"test_{name}"] for name in expected} == pytest.approx(expected)


@pytest.mark.medium
def test_accumulation_over_four_steps_logs_the_loss_of_one(tmp_path):
    """With one clip repeated, a batch of four and four batches of one have the same loss and step."""
    runs = [
        finetuner(
            tmp_path,
            TinyClips(same=True),
            max_steps=2,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=4 // size,
        )
        for size in (4, 1)
    ]
    for trainer in runs:
        trainer.train()
    assert losses_of(runs[0]) == pytest.approx(losses_of(runs[1]), rel=1e-5)
    for whole, accumulated in zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True):
        torch.testing.assert_close(whole, accumulated, atol=1e-5, rtol=1e-4)


def test_the_pool_counts_batches_not_steps(tmp_path):
    trainer = finetuner(tmp_path, pool=3, max_steps=1, gradient_accumulation_steps=2)
    trainer.train()
    trainer.evaluate()
    assert trainer.criterion.pool.flatten(1).any(1).tolist() == [False, True, True]


@pytest.mark.medium
@pytest.mark.parametrize("pool", [0, 3])
def test_a_resumed_run_has_the_same_losses(tmp_path, pool):
    whole = finetuner(tmp_path / "whole", pool=pool, max_steps=6, save_strategy="steps", save_steps=3)
    whole.train()
    state = tmp_path / "whole" / "checkpoint-3" / "trainer_state.json"
    saved = json.loads(state.read_text())
    saved["stateful_callbacks"]["TrainingClock"]["attributes"]["_before"] += 1000
    state.write_text(json.dumps(saved))
    resumed = finetuner(tmp_path / "resumed", pool=pool, max_steps=6)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    expected = losses_of(whole)
    assert losses_of(resumed) == pytest.approx(expected, rel=1e-6)
    assert 1000 < resumed.state.log_history[-1]["train_runtime"] < 1100  # of both sessions
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


@pytest.mark.medium
def test_a_checkpoint_has_its_name_only_when_it_is_whole(tmp_path, monkeypatch):
    trainer = finetuner(tmp_path, max_steps=4, save_strategy="steps", save_steps=2)
    save = AUVMAETrainer._save_optimizer_and_scheduler

    def killed_at_step_4(self, output_dir):
        assert not (tmp_path / f"checkpoint-{self.state.global_step}").exists()
        if self.state.global_step == 4:
            raise KeyboardInterrupt
        save(self, output_dir)

    monkeypatch.setattr(AUVMAETrainer, "_save_optimizer_and_scheduler", killed_at_step_4)
    with pytest.raises(KeyboardInterrupt):
        train(trainer)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]

    monkeypatch.undo()
    again = finetuner(tmp_path, max_steps=4, save_strategy="steps", save_steps=2, resume_from_checkpoint="true")
    train(again)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    assert losses_of(again).keys() == {1, 2, 3, 4}


@pytest.mark.parametrize("steps", [3, 4])
def test_a_run_killed_after_its_last_step_trains_no_further(tmp_path, steps):
    options = {"max_steps": steps, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 1}
    trainer = finetuner(tmp_path, **options)
    train(trainer)
    expected = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    (tmp_path / "model.safetensors").unlink()
    shutil.copytree(tmp_path / f"checkpoint-{steps}", tmp_path / "checkpoint-1")  # was not yet removed
    os.utime(tmp_path / "checkpoint-1", (0, 0))

    again = finetuner(tmp_path, **options, resume_from_checkpoint="true")
    train(again)
    assert again.state.global_step == steps
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == [f"checkpoint-{steps}"]
    for name, tensor in again.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)
    assert (tmp_path / "model.safetensors").is_file()


def test_a_surplus_checkpoint_is_removed_at_once(tmp_path, monkeypatch):
    options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "save_total_limit": 1}
    remove, whole = shutil.rmtree, []

    def killed(path, *args, **kwargs):
        if os.path.isdir(os.path.join(path, "checkpoint-2")):
            whole.append(sorted(one.name for one in tmp_path.glob("checkpoint-*")))
            raise KeyboardInterrupt
        remove(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            train(finetuner(tmp_path, **options))
    assert whole == [["checkpoint-4"]] * 2  # it is tried once more
    train(finetuner(tmp_path, **options, resume_from_checkpoint="true"))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["checkpoint-4"]


def test_old_checkpoints_go_and_the_best_keeps_its_name(tmp_path):
    trainer = finetuner(
        tmp_path,
        max_steps=6,
        save_strategy="steps",
        save_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="f1",
    )
    train(trainer)
    best = trainer.state.best_model_checkpoint
    assert (tmp_path / "checkpoint-6").is_dir()
    assert best == str(tmp_path / f"checkpoint-{trainer.state.best_global_step}")
    saved = TrainerState.load_from_json(str(tmp_path / "checkpoint-6" / "trainer_state.json"))
    assert saved.best_model_checkpoint == best
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-6", best.rpartition("/")[2]}


def test_resuming_without_a_checkpoint_starts_from_scratch(tmp_path):
    trainer = finetuner(tmp_path / "new", max_steps=1, resume_from_checkpoint="true")
    train(trainer)
    assert trainer.state.global_step == 1


def test_the_dataset_is_told_every_epoch(tmp_path):
    trainer = finetuner(tmp_path, num_train_epochs=3)
    trainer.train()
    assert sorted(set(trainer.train_dataset.epochs)) == [0, 1, 2]


def test_a_nan_names_step_and_clips(tmp_path):
    class Breaking(AUVMAEImageProcessor):
        def normalize_frames(self, frames: torch.Tensor) -> torch.Tensor:
            return super().normalize_frames(frames) + (torch.nan if (frames == 0).all() else 0)

    clips = TinyClips()
    clips.frames[3] = 0
    trainer = finetuner(tmp_path, clips, per_device_train_batch_size=1, max_steps=20)
    trainer.processing_class = Breaking(20)
    with pytest.raises(FloatingPointError, match=r"loss is nan at step \d+ on the clips \['clip3.avi'\].*resume"):
        trainer.train()


@pytest.mark.medium
@pytest.mark.parametrize(("flag", "dtype"), [("bf16_full_eval", "bfloat16"), ("fp16_full_eval", "float16")])
def test_a_test_fold_is_scored_in_half_precision(tmp_path, flag, dtype):
    trainer, expected = (finetuner(tmp_path, max_steps=1, **fields) for fields in ({flag: True}, {}))
    for each in (trainer, expected):
        each.train()
    logits = trainer.predict(trainer.eval_dataset).predictions
    assert str(trainer.model.dtype) == f"torch.{dtype}"
    np.testing.assert_allclose(logits, expected.predict(trainer.eval_dataset).predictions, atol=0.02)


def test_the_last_batch_is_dropped_in_training_only(tmp_path):
    sizes = {"per_device_train_batch_size": 3, "per_device_eval_batch_size": 3, "num_train_epochs": 1}
    trainer = finetuner(tmp_path, dataloader_drop_last=True, **sizes)
    trainer.train()
    assert trainer.state.global_step == 2  # of eight clips
    prediction = trainer.predict(trainer.eval_dataset)
    np.testing.assert_array_equal(prediction.label_ids, trainer.eval_dataset.labels)
    assert trainer.evaluate()["eval_f1"] == prediction.metrics["test_f1"]


def test_labels_of_a_fold_are_scored_once_whatever_the_batch(tmp_path):
    metrics = [finetuner(tmp_path, per_device_eval_batch_size=size).evaluate() for size in (1, 3, 8)]
    assert metrics[0]["eval_f1"] == metrics[1]["eval_f1"] == metrics[2]["eval_f1"]
    assert np.isfinite(metrics[0]["eval_loss"])


def test_a_trainer_without_push_says_what_to_pass(tmp_path):
    with pytest.raises(ValueError, match=r"AUVMAETrainer was built without .* Pass push=push_run"):
        finetuner(tmp_path).push_to_hub()
