"""Test both statistics against loops over pairs and states, and against counts by hand."""

import pytest
import torch

from auvmae.knowledge.fsm import cooccurrence_matrix, straight_through, transition_tensor

from ..support.literal_fsm import literal_cooccurrence, literal_transitions


def random_activation(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    soft = torch.rand(3, 7, 4, dtype=torch.float64)
    activation = soft if kind == "soft" else (soft > 0.7).to(soft.dtype)
    if kind == "never":
        activation[..., :2] = 0
    return activation, torch.rand(3, 7, 4) > 0.25


@pytest.mark.parametrize("kind", ["soft", "hard", "never"])
@pytest.mark.parametrize("masked", [True, False])
def test_statistics_equal_literal_loops(kind, masked):
    activation, mask = random_activation(kind)
    mask = mask if masked else torch.ones_like(mask)
    argument = mask if masked else None
    expected = literal_cooccurrence(activation, mask), literal_transitions(activation, mask)
    found = cooccurrence_matrix(activation, argument), transition_tensor(activation, argument)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_what_is_not_coded_may_hold_anything():
    activation, mask = random_activation("hard")
    garbage = torch.where(mask, activation, torch.nan)
    assert torch.equal(transition_tensor(garbage, mask), transition_tensor(activation, mask))
    assert torch.equal(cooccurrence_matrix(garbage, mask), cooccurrence_matrix(activation, mask))


def test_counted_by_hand():
    # frames: 00, 10, 11, 11, 01 -> together in 2 of 4 active frames
    labels = torch.tensor([[0, 0], [1, 0], [1, 1], [1, 1], [0, 1]])
    assert cooccurrence_matrix(labels)[0, 1] == 0.5
    expected = torch.zeros(16)
    for (i, j), (i_next, j_next) in [((0, 0), (1, 0)), ((1, 0), (1, 1)), ((1, 1), (1, 1)), ((1, 1), (0, 1))]:
        expected[i + 2 * j + 4 * i_next + 8 * j_next] += 0.25
    assert torch.equal(transition_tensor(labels)[0, 1], expected)


def test_a_pair_that_never_occurs_is_zero_and_states_sum_to_one():
    labels = torch.zeros(1, 5, 3)
    assert torch.equal(cooccurrence_matrix(labels), torch.zeros(3, 3))
    torch.testing.assert_close(transition_tensor(torch.rand(2, 6, 3)).sum(-1), torch.ones(3, 3))
    assert torch.equal(transition_tensor(labels, torch.zeros(1, 5, 3, dtype=torch.bool)), torch.zeros(3, 3, 16))


def test_transitions_never_run_from_one_clip_into_the_next():
    clips = torch.tensor([[[0, 0], [0, 0]], [[1, 1], [1, 1]]])
    assert transition_tensor(clips)[0, 1].nonzero().flatten().tolist() == [0, 15]


def test_a_mask_of_frames_stands_for_all_aus():
    activation, mask = random_activation("soft")
    frames = mask[..., 0]
    expected = transition_tensor(activation, frames[..., None].expand_as(activation))
    assert torch.equal(transition_tensor(activation, frames), expected)


@pytest.mark.parametrize(
    ("activation", "mask", "found"),
    [
        (torch.zeros(3), None, r"\(T, N\) or \(B, T, N\), found \(3,\)"),
        (torch.zeros(4, 3), torch.ones(3, 4, dtype=torch.bool), r"\(4, 3\) or \(4,\), found \(3, 4\)"),
    ],
)
def test_wrong_shapes_are_named(activation, mask, found):
    with pytest.raises(ValueError, match=found):
        cooccurrence_matrix(activation, mask)


def test_straight_through_is_binary_with_the_identity_as_gradient():
    probs = torch.rand(100, requires_grad=True)
    hard = straight_through(probs)
    assert torch.equal(hard, (probs > 0.5).float())
    weights = torch.rand(100)
    (hard * weights).sum().backward()
    assert torch.equal(probs.grad, weights)
