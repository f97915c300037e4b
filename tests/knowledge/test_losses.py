"""Test the criterion against a literal implementation of its equations."""

import numpy as np
import pytest
import torch

from auvmae.knowledge.losses import KnowledgeGuidedLoss, label_weights

from ..support.literal_fsm import literal_cooccurrence, literal_transitions


def random_labels(videos: int = 3, frames: int = 40, aus: int = 3) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    labels = (generator.random((videos, frames, aus)) < [0.5, 0.3, 0.2]).astype(np.int64)
    labels[generator.random(labels.shape) < 0.1] = -100
    return list(labels)


def clip_batch() -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.tensor(np.stack(random_labels(2, 9)))
    return torch.randn(2, 9, 3, dtype=torch.float32), labels


def test_label_weights_follow_their_formula():
    videos = random_labels()
    stacked = np.concatenate(videos)
    rates = np.array([(stacked[:, i] == 1).sum() / (stacked[:, i] >= 0).sum() for i in range(3)])
    expected = 3 * (1 / rates) / (1 / rates).sum()
    weights = label_weights([torch.as_tensor(video) for video in videos])
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights.sum().item() == pytest.approx(3)


def test_an_au_that_never_occurs_is_named():
    videos = [np.array([[1, 0], [0, -100]])]
    with pytest.raises(ValueError, match="AU9 never occurs"):
        label_weights(videos, ["AU6", "AU9"])
    with pytest.raises(ValueError, match="column 1 never occurs"):
        KnowledgeGuidedLoss.from_labels(videos)


def test_priors_count_inside_each_video():
    videos = random_labels()
    criterion = KnowledgeGuidedLoss.from_labels(videos)
    stacked = torch.tensor(np.stack(videos))
    mask = stacked != -100
    activation = stacked.clamp(min=0).double()
    expected = literal_cooccurrence(activation, mask).float(), literal_transitions(activation, mask).float()
    torch.testing.assert_close((criterion.cooccurrence_prior, criterion.transition_prior), expected)


def test_the_three_terms_follow_their_equations():
    criterion = KnowledgeGuidedLoss.from_labels(random_labels(), 0.7, 0.2, 0.3)
    logits, labels = clip_batch()
    probs, coded = logits.double().sigmoid(), labels != -100
    cells = torch.where(labels == 1, -probs.log(), -(1 - probs).log()) * criterion.label_weights
    cls = cells[coded].sum() / coded.any(-1).sum()
    hard = (probs > 0.5).double()
    defined = torch.zeros(3, 3, dtype=torch.bool)
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        both = coded[..., i] & coded[..., j]
        defined[i, j] = defined[j, i] = bool((hard[..., [i, j]].sum(-1)[both] > 0).any())
    intra = (criterion.cooccurrence_prior - literal_cooccurrence(hard, coded))[defined].norm()
    pairs = ~torch.eye(3, dtype=torch.bool)
    inter = (criterion.transition_prior - literal_transitions(probs, coded))[pairs].norm()
    losses = criterion(logits, labels)
    for found, expected in (
        (losses.loss_cls, cls),
        (losses.loss_intra, intra),
        (losses.loss_inter, inter),
        (losses.loss, 0.7 * cls + 0.2 * intra + 0.3 * inter),
    ):
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_gradients_are_finite_where_every_term_is_zero():
    labels = torch.tensor(np.stack(random_labels()))
    criterion = KnowledgeGuidedLoss.from_labels(list(labels))
    logits = ((labels.clamp(min=0) * 2 - 1) * 1e3).float().requires_grad_()
    losses = criterion(logits, labels)
    assert [losses[name].item() for name in ("loss_cls", "loss_intra", "loss_inter")] == [0, 0, 0]
    losses.loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_pairs_undefined_in_the_batch_are_left_out():
    criterion = KnowledgeGuidedLoss.from_labels(random_labels())
    logits = torch.full((1, 4, 3), -9.0, requires_grad=True)  # no AU is predicted, so every pair is 0/0
    losses = criterion(logits, torch.zeros(1, 4, 3, dtype=torch.long))
    assert losses.loss_intra == 0
    losses.loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_pairs_undefined_in_the_prior_are_left_out():
    """If two datasets code different AUs, no frame codes both, so the pair has no prior."""
    first, second = np.array([[1, -100], [0, -100]]), np.array([[-100, 1], [-100, 0]])
    criterion = KnowledgeGuidedLoss.from_labels([first, second])
    assert criterion.cooccurrence_prior[0, 1] == 0
    losses = criterion(torch.full((1, 4, 2), 9.0), torch.ones(1, 4, 2, dtype=torch.long))
    assert losses.loss_intra == 0


def test_a_batch_with_nothing_coded_costs_nothing():
    criterion = KnowledgeGuidedLoss.from_labels(random_labels())
    logits = torch.randn(2, 9, 3, requires_grad=True)
    loss = criterion(logits, torch.full((2, 9, 3), -100)).loss
    loss.backward()
    assert loss == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_each_term_has_a_gradient():
    logits, labels = clip_batch()
    for name in ("loss_cls", "loss_intra", "loss_inter"):
        leaf = logits.clone().requires_grad_()
        KnowledgeGuidedLoss.from_labels(random_labels())(leaf, labels)[name].backward()
        assert leaf.grad.abs().sum() > 0, name


def test_a_pool_of_past_steps_equals_their_one_batch():
    """The last of three steps uses the statistics of all three, but only its own clips have gradients."""
    pooled = KnowledgeGuidedLoss.from_labels(random_labels(), statistics_pool=2).train()
    whole = KnowledgeGuidedLoss.from_labels(random_labels()).train()
    steps = [clip_batch() for _ in range(5)]
    for logits, labels in steps:
        losses = pooled(logits, labels)
    expected = whole(*(torch.cat(tensors) for tensors in zip(*steps[-3:], strict=True)))
    assert losses.loss_intra.item() == pytest.approx(expected.loss_intra.item(), rel=1e-5)
    assert losses.loss_inter.item() == pytest.approx(expected.loss_inter.item(), rel=1e-5)
    assert not pooled.pool.requires_grad
    before = pooled.pool.clone()
    alone = pooled.eval()(*steps[0])
    assert torch.equal(pooled.pool, before)
    assert alone.loss_inter.item() == pytest.approx(whole(*steps[0]).loss_inter.item(), rel=1e-6)


def test_shapes_must_agree():
    criterion = KnowledgeGuidedLoss.from_labels(random_labels())
    with pytest.raises(ValueError, match=r"shape of logits \(2, 9, 3\), found \(2, 8, 3\)"):
        criterion(torch.zeros(2, 9, 3), torch.zeros(2, 8, 3))


def test_half_precision_logits_are_summed_in_single():
    criterion = KnowledgeGuidedLoss.from_labels(random_labels())
    logits, labels = clip_batch()
    assert criterion(logits.bfloat16(), labels).loss.dtype == torch.float32


def test_autocast_changes_nothing():
    labels = (torch.rand(4, 300, 3) < 0.4).long()  # bfloat16 cannot count to 1200
    criterion, logits = KnowledgeGuidedLoss.from_labels(random_labels()), torch.randn(4, 300, 3)
    expected = criterion(logits, labels)
    with torch.autocast("cpu", torch.bfloat16):
        found = criterion(logits, labels)
    assert found == expected
