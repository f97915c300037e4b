"""Test the detector's options, precision, refused checkpoints and provenance."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from auvmae.inference.detector import AUDetector, weights_sha256
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining
from auvmae.processors import AUVMAEImageProcessor

from ..support.drawn_faces import TRAINED, write_video
from ..support.tiny import tiny_config
from .test_detector import ABSENT, load

pytest.importorskip("cv2", reason="the extra `faces` is missing")

pytestmark = pytest.mark.usefixtures("square")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", 40, ABSENT)


def test_options_and_thresholds(checkpoint, video):
    detector = load(checkpoint)
    assert detector.thresholds == [0.4, 0.5, 0.6]
    assert load(checkpoint, threshold=0.3).thresholds == [0.3] * 3
    assert detector.window_length == 4
    assert detector.clip_stride == 2
    assert detector.model.config.clip_length == 4
    for wrong, message in (
        ({"threshold": 1.5}, "threshold must be one number in"),
        ({"threshold": [0.5]}, "or 3, found"),
        ({"level": "clip"}, "unknown level 'clip'; choose from video, frame, patch"),
        ({"clip_stride": 5}, "clip_stride must lie in 1 to 4"),
        ({"batch_size": 0}, "batch_size must be positive"),
        ({"dtype": "int8"}, "dtype must be one of auto, float32, bfloat16, float16, found int8"),
    ):
        with pytest.raises(ValueError, match=message):
            load(checkpoint, **wrong)


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(checkpoint, name):
    with pytest.raises(ValueError, match=f"device '{name}' is not available on this machine: "):
        AUDetector.from_pretrained(checkpoint, device=name)


def test_bfloat16_is_the_default_where_the_processor_has_it(checkpoint, monkeypatch):
    for has in (True, False):
        monkeypatch.setattr("auvmae.system.hardware.cpu_has_bfloat16", lambda has=has: has)
        assert load(checkpoint, dtype="auto").model.dtype == (torch.bfloat16 if has else torch.float32)
    assert load(checkpoint, dtype=torch.bfloat16).model.dtype == torch.bfloat16


def test_bfloat16_is_close(checkpoint, video):
    half = load(checkpoint, dtype="bfloat16")(video)
    whole = load(checkpoint)(video)
    assert half.provenance["dtype"] == "bfloat16"
    np.testing.assert_allclose(half.rows["probs"], whole.rows["probs"], atol=0.05)
    assert half.provenance["weights_sha256"] == whole.provenance["weights_sha256"]


def test_the_callers_model_is_left_as_it_is(checkpoint):
    model = AUVMAEForFrameAUClassification.from_pretrained(checkpoint)
    before = model.config.to_dict()
    AUDetector(model, AUVMAEImageProcessor.from_pretrained(checkpoint), level="frame")
    assert model.config.to_dict() == before


def test_a_model_without_a_head_is_refused(tmp_path):
    AUVMAEForVideoPretraining(tiny_config()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"was not fine-tuned to detect action units: it lacks head\.norm\.bias"):
        AUDetector.from_pretrained(tmp_path)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_pickle_is_opened_and_no_code_of_a_checkpoint_is_run(checkpoint, tmp_path):
    folder, mark = shutil.copytree(checkpoint, tmp_path / "model"), tmp_path / "burst"
    for code in folder.glob("*.py"):
        code.write_text(f"open({str(mark)!r}, 'w')\nraise RuntimeError")
    torch.save(Bomb(mark), folder / "pytorch_model.bin")
    load(folder)  # the safetensors beside it
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        load(folder)
    assert not mark.exists()


def test_provenance_says_what_the_rows_depend_on(checkpoint, video):
    provenance = load(checkpoint)(video).provenance
    assert provenance["source"]["name"] == "a.mp4"
    assert provenance["crop"] == TRAINED
    assert provenance["versions"]["auvmae"]
    assert str(video.parent) not in str(provenance)
    model = AUVMAEForFrameAUClassification.from_pretrained(checkpoint)
    assert provenance["weights_sha256"] == weights_sha256(model)
    with torch.no_grad():
        model.head.norm.bias[0] += 1e-3
    assert provenance["weights_sha256"] != weights_sha256(model)
