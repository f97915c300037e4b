"""Test reconstructions against `patch_targets`, stock VideoMAE and literal formulas, and the command."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import VideoMAEForPreTraining

from auvmae.cli.main import main
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining, AUVMAEModel
from auvmae.plotting.pretraining import plot_frame_rows
from auvmae.processors import AUVMAEImageProcessor
from auvmae.training.reconstruction import compare_clip, patchify, psnr, reconstruct_clip, unnormalise, unpatchify
from auvmae.video.random_access import read_frames

from ..support.drawn_faces import draw, write_video
from ..support.tiny import randomise, stock_config, tiny_config, tiny_mask


def noise(batch_size=2, num_frames=8):
    """Draw random frames, and preprocess them."""
    frames = torch.randint(0, 256, (batch_size, num_frames, 20, 20, 3), dtype=torch.uint8)
    return frames, AUVMAEImageProcessor(20)(frames)["pixel_values"]


def tiny_model(**fields):
    return randomise(AUVMAEForVideoPretraining(tiny_config(**fields)))


def predict(monkeypatch, model, values):
    """Make the model's decoder return `values(visible, hidden)`."""
    monkeypatch.setattr(model, "forward_decoder", lambda tokens, visible, hidden: values(visible, hidden))


@pytest.mark.parametrize("norm_pix_loss", [True, False])
@pytest.mark.parametrize("mask_ratio", [0.0, 0.5])
def test_a_perfect_prediction_is_the_original(monkeypatch, norm_pix_loss, mask_ratio):
    model, (frames, clip) = tiny_model(norm_pix_loss=norm_pix_loss), noise()
    predict(
        monkeypatch, model, lambda visible, hidden: model.patch_targets(clip, hidden if hidden.shape[1] else visible)
    )
    found = reconstruct_clip(model, clip, tiny_mask(num_frames=8, mask_ratio=mask_ratio))
    torch.testing.assert_close(found, frames.permute(0, 1, 4, 2, 3) / 255, atol=1e-5, rtol=0)


def test_patches_are_in_the_order_of_the_targets():
    model, (_, clip) = tiny_model(norm_pix_loss=False), noise()
    every = torch.arange(8).repeat(4, 1)  # two windows of each of two clips
    patches = patchify(unnormalise(clip, model.config), model.config)
    expected = model.patch_targets(clip, every).reshape(2, 16, -1)
    torch.testing.assert_close(patches.flatten(2), expected, atol=1e-6, rtol=0)
    assert torch.equal(unpatchify(patchify(clip, model.config), model.config), clip)


@pytest.mark.parametrize("mask_ratio", [0.0, 0.5])
def test_the_decoder_is_that_of_stock(mask_ratio):
    stock = randomise(VideoMAEForPreTraining(stock_config()))
    model = AUVMAEForVideoPretraining(tiny_config()).eval()
    model.load_state_dict(stock.state_dict())
    frames, clip = noise(num_frames=4)
    mask = tiny_mask(mask_ratio=mask_ratio)
    with torch.no_grad():
        if mask_ratio:
            logits = stock(clip, mask).logits
        else:  # its `forward` cannot compute a loss without hidden patches
            tokens = stock.encoder_to_decoder(stock.videomae(clip).last_hidden_state)
            logits = stock.decoder(tokens + stock.position_embeddings, 8).logits
    expected = frames.permute(0, 1, 4, 2, 3) / 255
    for clip_index, row in enumerate(mask if mask_ratio else ~mask):
        for logit, token in zip(logits[clip_index], row.nonzero()[:, 0].tolist(), strict=True):
            slot, y, x = token // 4, 10 * (token % 4 // 2), 10 * (token % 2)
            patch = expected[clip_index, 2 * slot : 2 * slot + 2, :, y : y + 10, x : x + 10]
            std, mean = torch.std_mean(patch, dim=(0, 2, 3), keepdim=True)
            patch.copy_(logit.view(2, 10, 10, 3).permute(0, 3, 1, 2) * std + mean)
    torch.testing.assert_close(reconstruct_clip(model, clip, mask), expected.clamp(0, 1), atol=1e-5, rtol=0)


def test_what_is_visible_stays_and_what_is_hidden_is_grey():
    model, (frames, clip) = tiny_model(), noise(batch_size=1)
    mask = torch.tensor([True, False, False, False]).repeat(4)[None]  # the upper left patch
    found = compare_clip(model, clip, mask)
    assert found.hidden_share == 0.25
    np.testing.assert_array_equal(found.original, frames[0])
    for shown in (found.masked, found.reconstructed):
        np.testing.assert_array_equal(shown[:, 10:], frames[0, :, 10:])
        np.testing.assert_array_equal(shown[:, :, 10:], frames[0, :, :, 10:])
    assert (found.masked[:, :10, :10] == 128).all()
    assert (found.reconstructed[:, :10, :10] != frames[0, :, :10, :10].numpy()).mean() > 0.9


@pytest.mark.parametrize("mask_ratio", [0.0, 0.5])
def test_to_predict_nothing_of_a_patch_is_its_mean_colour(monkeypatch, mask_ratio):
    model, (_, clip) = tiny_model(), noise(batch_size=1)
    predict(monkeypatch, model, lambda visible, hidden: torch.zeros(2, hidden.shape[1] or visible.shape[1], 600))
    found = compare_clip(model, clip, tiny_mask(1, 8, mask_ratio))
    assert found.psnr_all == pytest.approx(found.mean_colour_psnr_all)
    assert found.psnr_hidden == pytest.approx(found.mean_colour_psnr_hidden, nan_ok=True)
    assert math.isnan(found.psnr_hidden) == (mask_ratio == 0)


def test_scores_match_the_returned_frames():
    model, (_, clip) = tiny_model(), noise(batch_size=1)
    found = compare_clip(model, clip, torch.tensor([True, False, True, False]).repeat(4)[None])
    error = (found.original / 255.0 - found.reconstructed / 255.0) ** 2
    assert found.psnr_all == pytest.approx(-10 * np.log10(error.mean()), abs=0.01)
    assert found.psnr_hidden == pytest.approx(-10 * np.log10(error[:, :, :10].mean()), abs=0.01)


def test_psnr():
    first, second = torch.rand(3, 50), torch.rand(3, 50)
    error = np.mean([(a - b) ** 2 for a, b in zip(first.flatten().tolist(), second.flatten().tolist(), strict=True)])
    assert psnr(first, second) == pytest.approx(20 * math.log10(1 / math.sqrt(error)), abs=1e-4)
    assert psnr(first, first) == math.inf
    assert math.isnan(psnr(first[:0], second[:0]))


def test_the_figure_holds_the_frames():
    rows = {name: np.full((2, 24, 24, 3), value, np.uint8) for name, value in (("original", 10), ("masked", 20))}
    figure = plot_frame_rows(rows, [3, 7], "as they are")
    (axis,) = figure.axes
    sheet = axis.images[0].get_array()
    assert sheet.shape == (49, 49, 3)
    assert (sheet[:24, :24] == 10).all()
    assert (sheet[25:, 25:] == 20).all()
    assert [label.get_text() for label in axis.get_yticklabels()] == ["original", "masked"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["3", "7"]
    assert figure.get_supxlabel() == "as they are"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_model(clip_length=16, sampling_rate=2).save_pretrained(folder)
    return str(folder)


def test_the_command_writes_figure_videos_and_scores(checkpoint, tmp_path, capsys):
    video, out = write_video(tmp_path / "face.mp4", count=10), tmp_path / "out"
    assert main(["reconstruct", str(video), "-m", checkpoint, "-o", str(out), "--start_frame", "2", "--seed", "5"]) == 0
    printed = capsys.readouterr().out
    saved = json.loads((out / "reconstruction.json").read_text())
    assert saved["frames"] == [2, 4, 6, 8, 9, 9, 9, 9]  # every second frame, with the last one repeated
    assert [row["mask_ratio"] for row in saved["results"]] == [0, 0.5, 0.9]
    assert [row["hidden_share"] for row in saved["results"]] == [0, 0.5, 0.75]  # three of four patches
    assert saved["results"][0]["psnr_hidden"] is None
    assert f"{saved['results'][1]['psnr_hidden']:.2f}" in printed
    with Image.open(out / "reconstruction.png") as figure:
        assert figure.width == 1050  # one column of 3.5 inches at 300 dpi
    original = AUVMAEImageProcessor(20, [0, 0, 0], [1, 1, 1])(read_frames(video, saved["frames"]))["pixel_values"][0]
    for ratio in ("0", "0.5", "0.9"):
        found = read_frames(out / f"reconstruction_{ratio}.mp4", range(8))
        assert found.shape == (8, 20, 60, 3)
        assert np.abs(found[:, :, :20] / 255 - original.permute(0, 2, 3, 1).numpy()).mean() < 0.02


def test_images_are_counted_in_their_order(checkpoint, tmp_path):
    for number in range(40, 60):
        Image.fromarray(draw(number)).save(tmp_path / f"{number}.png")
    argv = ["reconstruct", str(tmp_path), "-m", checkpoint, "-o", str(tmp_path / "out"), "--mask_ratios", "0.5"]
    assert main([*argv, "--start_frame", "1"]) == 0
    saved = json.loads((tmp_path / "out" / "reconstruction.json").read_text())
    assert saved["frames"] == list(range(41, 57, 2))


@pytest.mark.parametrize("model_class", [AUVMAEModel, AUVMAEForFrameAUClassification])
def test_a_model_without_decoder_is_named(model_class, tmp_path, capsys):
    model_class(tiny_config()).save_pretrained(tmp_path / "model")
    assert main(["reconstruct", "face.mp4", "-m", str(tmp_path / "model"), "-o", str(tmp_path / "out")]) == 2
    assert f"{tmp_path / 'model'} has no complete decoder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--start_frame", "10"], "has 10 frames: --start_frame must lie in 0 to 9, found 10"),
        (["--start_frame", "-1"], "--start_frame must lie in 0 to 9, found -1"),
        (["--mask_ratios", "0.5", "1"], "mask_ratio must lie in [0, 1), found 1.0"),
        (["--backend", "guess"], "unknown video backend 'guess'"),
    ],
)
def test_the_command_names_what_is_wrong(checkpoint, tmp_path, capsys, options, message):
    video = write_video(tmp_path / "face.mp4", count=10)
    assert main(["reconstruct", str(video), "-m", checkpoint, "-o", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
