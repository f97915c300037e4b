"""Test the detector's options, precision, refused checkpoints and provenance."""

import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from auvmae.inference.detector import AUDetector
from auvmae.inference.prediction import AUPrediction
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining
from auvmae.processors import AUVMAEImageProcessor
from auvmae.video import VideoWriter, iter_frames
from auvmae.video.selection import FrameSelection
from auvmae.weights import weights_sha256

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
        ({"batch_size": 2.5}, r"batch_size must be a whole number, found 2\.5"),
        ({"batch_size": True}, "batch_size must be a whole number, found True"),
        ({"clip_stride": 0}, "clip_stride must lie in 1 to 4"),
        ({"clip_stride": 1.5}, r"clip_stride must be a whole number, found 1\.5"),
        ({"clip_stride": "2"}, "clip_stride must be a whole number, found '2'"),
        ({"threshold": float("nan")}, "threshold must be one number in"),
        ({"threshold": [0.5, float("nan"), 0.5]}, "threshold must be one number in"),
        ({"threshold": "high"}, "threshold must be one number in"),
        ({"dtype": "int8"}, "dtype must be one of auto, float32, bfloat16, float16, found int8"),
    ):
        with pytest.raises(ValueError, match=message):
            load(checkpoint, **wrong)


@pytest.mark.parametrize("options", [{}, {"every_face": True}, {"cropped": True}])
@pytest.mark.parametrize("live", [False, True])
def test_selected_frames_are_predicted_as_if_there_were_no_others(checkpoint, video, options, live):
    if options.get("cropped"):
        video = video.with_name("crop.mp4")
        with VideoWriter(video, 25, 32, 32) as writer:
            for number in range(40):
                writer.write(np.full((32, 32, 3), 5 * number, np.uint8))
    frames = [frame for frame in iter_frames(video) if 0.2 <= frame[1] < 1.3 and frame[0] % 3 == 0]
    detector = load(checkpoint, selection=FrameSelection(0.2, 1.3, 3), **options)
    found, expected = (
        AUPrediction.collect(one.stream(source, live=live), one.au_names, one.thresholds, {})
        for one, source in ((detector, video), (load(checkpoint, **options), frames))
    )
    assert len(found.rows) == len(frames) == 9
    pandas.testing.assert_frame_equal(found.to_dataframe(), expected.to_dataframe())
    assert detector.provenance(video)["selection"] == {"start": 0.2, "stop": 1.3, "every": 3}


def test_action_units_that_failed_their_check_are_left_out(checkpoint, video, tmp_path):
    checks = {"AU1": "passed", "AU2": "failed", "AU12": "none"}
    AUVMAEForFrameAUClassification.from_pretrained(checkpoint, au_checks=checks).save_pretrained(tmp_path)
    AUVMAEImageProcessor.from_pretrained(checkpoint).save_pretrained(tmp_path)
    every, default = load(checkpoint)(video), load(tmp_path)(video)
    assert default.au_names == ["AU1", "AU12"]
    assert default.thresholds == [0.4, 0.6]
    np.testing.assert_array_equal(default.rows["probs"], every.rows["probs"][:, [0, 2]])
    assert default.provenance["au_checks"] == {"AU1": "passed", "AU12": "none"}
    asked = load(tmp_path, all_aus=True)
    np.testing.assert_array_equal(asked(video).rows["probs"], every.rows["probs"])
    assert asked.provenance(video)["au_checks"] == checks
    assert load(tmp_path, threshold=[0.1, 0.2]).thresholds == [0.1, 0.2]


def test_a_model_that_failed_altogether_gives_nothing_unasked(checkpoint, tmp_path):
    failed = dict.fromkeys(("AU1", "AU2", "AU12"), "failed")
    AUVMAEForFrameAUClassification.from_pretrained(checkpoint, au_checks=failed).save_pretrained(tmp_path)
    AUVMAEImageProcessor.from_pretrained(checkpoint).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="every action unit of the model failed its check"):
        load(tmp_path)
    assert load(tmp_path, all_aus=True).au_names == ["AU1", "AU2", "AU12"]


FRAMES = np.random.default_rng(0).integers(0, 256, (6, 20, 24, 3), np.uint8)
IMAGE = Image.fromarray(FRAMES[0])


def test_options_and_views_are_those_of_their_copies(checkpoint):
    detector = load(checkpoint, cropped=True, clip_stride=np.int64(2), threshold=np.array([0.4, 0.5, 0.6]))
    for view in (FRAMES[..., ::-1], FRAMES[:, :, ::-1], FRAMES[::-1]):
        expected = detector(view.copy()).rows["probs"]
        read_only = view.copy()
        read_only.flags.writeable = False
        for source in (view, read_only, list(view), torch.from_numpy(view.copy()), map(Image.fromarray, view)):
            np.testing.assert_array_equal(detector(source).rows["probs"], expected)
    detector = load(checkpoint)
    for source in (FRAMES[..., ::-1], FRAMES[:, ::-1]):
        np.testing.assert_array_equal(detector(source).rows["box"], detector(source.copy()).rows["box"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "there are no frames to predict"),
        (np.zeros((0, 20, 20, 3), np.uint8), "there are no frames to predict"),
        (np.zeros((2, 0, 20, 3), np.uint8), r"found uint8 of \(0, 20, 3\)"),
        (FRAMES.astype(float), "frame 0 must be uint8"),
        (FRAMES[0], r"found uint8 of \(24, 3\)"),
        ([IMAGE.convert("YCbCr")], "An image has the mode YCbCr, not RGB"),
        ([IMAGE.convert("HSV")], "An image has the mode HSV, not RGB"),
        ([(0, 0.0, FRAMES[0]), (0, 0.1, FRAMES[1])], "frame 0 follows frame 0: indices must rise"),
        ([(5, 0.0, FRAMES[0]), (3, 0.1, FRAMES[1])], "frame 3 follows frame 5: indices must rise"),
        ([(0, 1.0, FRAMES[0]), (1, 0.5, FRAMES[1])], r"frame 1 is at 0\.5 s, but an earlier frame at 1\.0 s"),
        ([(0.5, 1.0, FRAMES[0])], r"item 0 must be a frame, or \(whole number, timestamp"),
        ([(0, "now", FRAMES[0])], r"item 0 must be a frame, or \(whole number, timestamp"),
        ([(0, FRAMES[0])], r"item 0 must be a frame, or \(whole number, timestamp"),
        ([(-1, 0.0, FRAMES[0])], r"frame -1 at 0\.0 s"),
        ([(0, float("inf"), FRAMES[0])], "frame 0 at inf s"),
    ],
)
@pytest.mark.parametrize("cropped", [True, False])
def test_a_source_that_is_no_recording_is_refused(checkpoint, source, message, cropped):
    with pytest.raises(ValueError, match=message) as raised:
        load(checkpoint, cropped=cropped)(source)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_output_that_is_not_a_number_is_no_absence(checkpoint, value, monkeypatch):
    """Half precision may overflow for a single window of a recording."""
    detector = load(checkpoint, cropped=True, batch_size=2)
    forward = detector.model.head.forward

    def overflow(*inputs):
        logits = forward(*inputs)
        logits[-1, -1, -1] = value
        return logits

    monkeypatch.setattr(detector.model.head, "forward", overflow)
    with pytest.raises(ValueError, match="the model's output is not a number in float32: predict in float32, or"):
        detector(FRAMES)


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
