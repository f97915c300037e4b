"""Test that drop path drops whole rows without bias, more often in deeper layers, and only in training."""

import pytest
import torch

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.training.regularisation.drop_path import DropPath, add_drop_path

from ...support.tiny import randomise, tiny_clip, tiny_config


def test_rows_are_dropped_whole_and_the_mean_stays() -> None:
    branch = torch.rand(4000, 3, 2) + 1
    out = DropPath(0.3).train()(branch)
    kept = out[:, 0, 0] != 0
    torch.testing.assert_close(out[kept], branch[kept] / 0.7)
    assert not out[~kept].any()
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.03)
    torch.testing.assert_close(out.mean(0), branch.mean(0), atol=0.1, rtol=0)
    assert torch.equal(DropPath(0.3).eval()(branch), branch)
    assert torch.equal(DropPath(0.0).train()(branch), branch)


def test_rates_grow_linearly_over_both_branches_and_weights_keep_their_names() -> None:
    model = AUVMAEForFrameAUClassification(tiny_config(num_hidden_layers=4))
    names = list(model.state_dict())
    add_drop_path(model, 0.3)
    rates = [module.rate for module in model.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.0, 0.0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3])
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("branch", ["attention", "mlp"])
def test_a_dropped_branch_is_one_that_adds_nothing(branch: str) -> None:
    """Compare dropping all branches of one kind with zeroing the last linear layer of these branches."""
    model = randomise(AUVMAEForFrameAUClassification(tiny_config()))
    zeroed = AUVMAEForFrameAUClassification(tiny_config()).eval()
    zeroed.load_state_dict(model.state_dict())
    add_drop_path(model, 0.0)
    with torch.no_grad():
        for ours, other in zip(model.videomae.encoder.layer, zeroed.videomae.encoder.layer, strict=True):
            output, silent = (
                (layer.attention.output if branch == "attention" else layer.output) for layer in (ours, other)
            )
            output.dropout[1].train().rate = 1 - 1e-9
            silent.dense.weight.zero_(), silent.dense.bias.zero_()
    clip = tiny_clip(num_frames=8)
    torch.testing.assert_close(model(clip).logits, zeroed(clip).logits)


def test_evaluation_is_untouched() -> None:
    model, clip = randomise(AUVMAEForFrameAUClassification(tiny_config())), tiny_clip(num_frames=8)
    expected = model(clip).logits
    add_drop_path(model, 0.9)
    assert torch.equal(model.eval()(clip).logits, expected)
    assert not torch.equal(model.train()(clip).logits, expected)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_its_range_is_an_error(rate: float) -> None:
    with pytest.raises(ValueError, match=r"drop_path must lie in \[0, 1\)"):
        add_drop_path(AUVMAEForFrameAUClassification(tiny_config()), rate)
