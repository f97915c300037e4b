"""Test the intensity head and its loss."""

import math

import pytest
import torch

from auvmae.data.loading.loader import ClipCollator
from auvmae.knowledge.intensity_losses import INTENSITY_LOSSES, intensity_loss, ranking_loss
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification

from ..support.tiny import randomise, tiny_clip, tiny_config
from ..support.tiny_training import TinyClips, finetuner


class GradedClips(TinyClips):
    """Add intensities to the clips; one frame and one cell are not coded."""

    def __getitem__(self, index):
        grades = torch.rand(8, 3, generator=torch.Generator().manual_seed(index)) * 5
        grades[0], grades[1, 2] = math.nan, math.nan
        return {**super().__getitem__(index), "intensities": grades}


def graded(tmp_path, dataset, **fields):
    model = AUVMAEForFrameAUClassification(tiny_config(grade_intensities=True))
    return finetuner(tmp_path, dataset, wrap=lambda _: randomise(model), **fields)


def test_the_head_grades_every_frame_beside_the_same_occurrences():
    torch.manual_seed(0)
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(grade_intensities=True)))
    plain = AUVMAEForFrameAUClassification(tiny_config())
    plain.load_state_dict(model.state_dict(), strict=False)
    clip = tiny_clip(2, 4)
    outputs = model(clip)
    assert outputs.intensity_logits.shape == outputs.logits.shape == (2, 8, 3)
    torch.testing.assert_close(outputs.logits, plain.eval()(clip).logits)
    assert plain(clip).intensity_logits is None


def test_checkpoints_keep_the_intensity_head(tmp_path):
    torch.manual_seed(0)
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(grade_intensities=True)))
    model.save_pretrained(tmp_path)
    again = AUVMAEForFrameAUClassification.from_pretrained(tmp_path)
    clip = tiny_clip(1, 4)
    torch.testing.assert_close(again(clip).intensity_logits, model(clip).intensity_logits)


def test_the_loss_is_that_of_a_loop_over_cells():
    torch.manual_seed(0)
    logits, intensities = torch.randn(2, 3, 4), torch.rand(2, 3, 4) * 5
    intensities[0, 1] = math.nan
    intensities[1, 2, 3] = math.nan
    total = 0.0
    for index in torch.ones(2, 3, 4).nonzero().tolist():
        share, logit = float(intensities[tuple(index)]) / 5, float(logits[tuple(index)])
        if not math.isnan(share):
            probability = 1 / (1 + math.exp(-logit))
            total -= share * math.log(probability) + (1 - share) * math.log(1 - probability)
    assert intensity_loss(logits, intensities).item() == pytest.approx(total / 5, rel=1e-5)


def test_the_loss_of_orders_is_that_of_a_loop_over_pairs():
    torch.manual_seed(0)
    logits, intensities = torch.randn(2, 3, 4), torch.rand(2, 3, 4) * 5
    intensities[0, 1] = math.nan
    intensities[1, 2, 3] = math.nan
    total, pairs = 0.0, 0
    for clip, first, second in torch.ones(2, 3, 3).nonzero().tolist():
        pairs += clip == 1 or 1 not in (first, second)
        for au in range(4):
            rise = float(intensities[clip, first, au] - intensities[clip, second, au]) / 5
            if rise > 0:
                ahead = float(logits[clip, first, au] - logits[clip, second, au])
                total += rise * math.log(1 + math.exp(-ahead))
    assert ranking_loss(logits, intensities).item() == pytest.approx(total / pairs, rel=1e-5)


def test_orders_do_not_depend_on_what_a_clip_shares():
    torch.manual_seed(0)
    logits, intensities = torch.randn(2, 3, 4), torch.rand(2, 3, 4) * 5
    person = torch.randn(2, 1, 4)
    torch.testing.assert_close(ranking_loss(logits + person, intensities), ranking_loss(logits, intensities))


@pytest.mark.parametrize("loss_of", [*INTENSITY_LOSSES.values(), ranking_loss])
def test_nothing_coded_costs_nothing(loss_of):
    logits = torch.randn(1, 2, 3, requires_grad=True)
    loss = loss_of(logits, torch.full((1, 2, 3), math.nan))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_training_adds_the_loss_of_intensities(tmp_path):
    trainer = graded(tmp_path, GradedClips(), max_steps=2)
    trainer.intensity_weight, trainer.ranking_weight = 0.5, 2.0
    trainer.train()
    line = trainer.state.log_history[0]
    terms = line["loss_cls"] + 0.01 * (line["loss_intra"] + line["loss_inter"]) + 0.5 * line["loss_intensity"]
    terms += 2.0 * line["loss_ranking"]
    assert line["loss"] == pytest.approx(terms, rel=1e-4)
    assert line["loss_intensity"] > 0.5
    metrics = trainer.evaluate()
    assert line["loss_ranking"] > 0.1
    assert {"eval_f1", "eval_icc", "eval_mae_AU12", "eval_loss_intensity", "eval_loss_ranking"} <= set(metrics)
    assert [part.shape for part in trainer.predict(trainer.eval_dataset).predictions] == 2 * [(8, 8, 3)]


@pytest.mark.parametrize("name", INTENSITY_LOSSES)
def test_training_lowers_the_loss_of_intensities(tmp_path, name):
    trainer = graded(tmp_path, GradedClips(), max_steps=40)
    trainer.intensity_loss = INTENSITY_LOSSES[name]
    trainer.train()
    losses = [entry["loss_intensity"] for entry in trainer.state.log_history if "loss" in entry]
    assert sum(losses[-4:]) < sum(losses[:4])


@pytest.mark.parametrize("dataset", [TinyClips, GradedClips])
def test_without_intensities_in_data_or_model_there_is_no_such_loss(tmp_path, dataset):
    trainer = graded(tmp_path, dataset()) if dataset is TinyClips else finetuner(tmp_path, dataset())
    batch = ClipCollator()([trainer.train_dataset[0], trainer.train_dataset[1]])
    metrics = trainer.evaluate()
    assert metrics["eval_loss_intensity"] == metrics["eval_loss_ranking"] == 0
    assert ("intensities" in batch) == (dataset is GradedClips)
