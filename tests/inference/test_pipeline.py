"""Test that the pipeline gives the same results as the detector."""

import numpy as np
import pytest
import transformers
from transformers.models.auto.video_processing_auto import AutoVideoProcessor

import auvmae

from ..support.drawn_faces import write_video
from ..support.tiny import stock_config

pytest.importorskip("cv2", reason="the extra `faces` is missing")


pytestmark = pytest.mark.usefixtures("square")


def detect_by(checkpoint, **options):
    return transformers.pipeline("video-au-detection", model=str(checkpoint), device="cpu", **options)


def load(checkpoint, **options):
    # a pipeline computes in the dtype of the model
    return auvmae.AUDetector.from_pretrained(checkpoint, device="cpu", dtype="float32", **options)


def same(found, expected):
    assert isinstance(found, auvmae.AUPrediction)
    assert found.provenance == expected.provenance
    assert found.to_dataframe().equals(expected.to_dataframe())


def test_it_is_the_detector(checkpoint, tmp_path):
    video = str(write_video(tmp_path / "a.mp4", 12, absent=[3, 4, 5, 6, 7]))
    detect, detector = (
        detect_by(checkpoint),
        auvmae.AUDetector.from_pretrained(checkpoint, device="cpu", dtype="float32"),
    )
    same(detect(video), detector(video))
    frames = np.random.default_rng(0).integers(0, 120, (5, 96, 128, 3), dtype=np.uint8)
    same(detect(frames), detector(frames))
    first, second = detect([video, video], threshold=0.2)
    assert first.thresholds == second.thresholds == [0.2] * 3


def test_no_code_of_the_checkpoint_is_asked_for(checkpoint, monkeypatch):
    asked = []
    monkeypatch.setattr("builtins.input", lambda *_: asked.append(True) or "n")
    detect_by(checkpoint)
    assert not asked


@pytest.mark.parametrize("given", ["folder", "model"])
def test_another_task_names_this_one_and_asks_for_no_code(checkpoint, monkeypatch, given):
    asked = []
    monkeypatch.setattr("builtins.input", lambda *_: asked.append(True) or "n")
    model, options = str(checkpoint), {}
    if given == "model":
        model = auvmae.AUVMAEForFrameAUClassification.from_pretrained(checkpoint)
        options["image_processor"] = auvmae.AUVMAEImageProcessor.from_pretrained(checkpoint)
    with pytest.raises(ValueError, match=r"use pipeline\('video-au-detection', model=\.\.\.\)") as raised:
        transformers.pipeline("video-classification", model=model, device="cpu", **options)
    assert "\n" not in str(raised.value)
    assert not asked


def test_auto_classes_use_the_registered_code(checkpoint, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked to run the checkpoint's code"))
    model = transformers.AutoModelForVideoClassification.from_pretrained(checkpoint)
    assert type(model) is auvmae.AUVMAEForFrameAUClassification
    for auto in (transformers.AutoImageProcessor, transformers.AutoProcessor, AutoVideoProcessor):
        assert type(auto.from_pretrained(checkpoint)) is auvmae.AUVMAEImageProcessor


def test_other_video_classifiers_keep_their_pipeline(checkpoint):
    stock = transformers.VideoMAEForVideoClassification(stock_config())
    processor = auvmae.AUVMAEImageProcessor.from_pretrained(checkpoint)
    pipeline = transformers.pipeline("video-classification", model=stock, image_processor=processor, device="cpu")
    assert isinstance(pipeline, transformers.VideoClassificationPipeline)


def test_batches_are_of_windows(checkpoint, tmp_path, monkeypatch):
    videos = [str(write_video(tmp_path / f"{count}.mp4", count)) for count in (12, 9)]
    expected = [load(checkpoint)(video) for video in videos]
    sizes = []

    def detector(*parts, batch_size=8, **options):
        sizes.append(batch_size)
        return auvmae.AUDetector(*parts, batch_size=batch_size, **options)

    monkeypatch.setattr("auvmae.inference.pipeline.AUDetector", detector)
    detect = detect_by(checkpoint, batch_size=2)
    for found in (detect(videos), detect(videos, batch_size=3), [detect_by(checkpoint)(video) for video in videos]):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.rows["probs"], other.rows["probs"], atol=2e-6)
    assert sizes == [2, 2, 3, 3, 8, 8]


def test_options_of_the_detector_are_the_pipelines(checkpoint, tmp_path):
    video = str(write_video(tmp_path / "a.mp4", 12))
    expected = auvmae.AUDetector.from_pretrained(
        checkpoint, device="cpu", dtype="float32", level="patch", clip_stride=1
    )(video)
    same(detect_by(checkpoint, level="patch", clip_stride=1)(video), expected)
