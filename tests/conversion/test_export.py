"""Test exported models against the models they came from."""

import json
from hashlib import sha256
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas
import pytest
import torch

from auvmae.cli.main import main
from auvmae.conversion import export
from auvmae.conversion.recorded_windows import record_windows
from auvmae.inference.detector import AUDetector
from auvmae.inference.runtimes import exported
from auvmae.inference.runtimes.onnx_model import OnnxModel
from auvmae.masking import tube_mask
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.system.hardware import cpu_has_int8
from auvmae.weights import weights_sha256

from ..support.drawn_faces import write_video
from ..support.tiny import AUS, randomise, save_checkpoint, tiny_clip, tiny_config, tiny_mask

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is missing")
pytest.importorskip("onnxscript", reason="the extra `onnx` is missing")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is missing")

pytestmark = pytest.mark.medium
RATES = {"video": 1, "frame": 4, "patch": 1}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def exports(checkpoint, tmp_path_factory):
    """Export the checkpoint, and return the folders by level."""
    folders = {level: tmp_path_factory.mktemp("exports") / level for level in RATES}
    for level, folder in folders.items():
        assert main(["export", str(checkpoint), "-o", str(folder), "--level", level]) == 0
    return folders


@pytest.fixture
def crops():
    return [np.random.default_rng(0).integers(0, 256, (60, 20, 20, 3), np.uint8)]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("level", RATES)
def test_logits_are_the_models(checkpoint, exports, level, batch_size):
    model = AUVMAEForFrameAUClassification.from_pretrained(checkpoint, clip_length=4 * RATES[level]).eval()
    inputs = {"pixel_values": 3 * tiny_clip(batch_size)}
    if level == "patch":
        inputs["bool_masked_pos"] = tiny_mask(batch_size)
    found = OnnxModel(exports[level] / "model.onnx")(**inputs).logits
    with torch.no_grad():
        expected = model(**inputs).logits
    assert found.shape == (batch_size, 4 * RATES[level], 3)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    if level == "patch":  # the mask has an effect
        assert (found - OnnxModel(exports["video"] / "model.onnx")(inputs["pixel_values"]).logits).abs().max() > 1e-3


def test_intensities_are_exported(tmp_path):
    torch.manual_seed(1)
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(grade_intensities=True, clip_length=4)), 0.3)
    detector = AUDetector(model, AUVMAEImageProcessor(size=20), cropped=True, sides=True)
    record = export.export_model(detector, tmp_path / "out")
    assert record["intensity_logits"] == record["logits"] == ["batch", 4, 3]
    clips = tiny_clip(3)
    with torch.no_grad():
        expected = model(clips)
    found = OnnxModel(tmp_path / "out" / "model.onnx")(clips)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.intensity_logits, expected.intensity_logits, atol=1e-4, rtol=0)
    frames = np.random.default_rng(0).integers(0, 256, (9, 20, 20, 3), np.uint8)
    exported = AUDetector.from_pretrained(tmp_path / "out" / "model.onnx", cropped=True, sides=True)(frames)
    expected = detector(frames).rows
    for values in ("intensities", "left", "right"):
        np.testing.assert_allclose(exported.rows[values], expected[values], atol=1e-3)


@pytest.mark.parametrize("mask_ratio", [0.25, 0.75])
def test_a_mask_that_hides_another_number_is_an_error(exports, mask_ratio):
    model = OnnxModel(exports["patch"] / "model.onnx")
    mask = torch.cat([tube_mask(1, 2, 4, 0.5), tube_mask(1, 2, 4, mask_ratio)])
    with pytest.raises(ValueError, match=rf"hides {int(4 * mask_ratio)} of 4 patches, but .* exported for 2"):
        model(tiny_clip(2), mask)


def test_the_record_says_what_stands_there(checkpoint, exports):
    folder = exports["patch"]
    assert {path.name for path in folder.iterdir()} == {
        *("model.onnx", "config.json", "preprocessor_config.json", "export.json")
    }
    record = json.loads((folder / "export.json").read_text())
    model = AUVMAEForFrameAUClassification.from_pretrained(checkpoint)
    assert record["weights_sha256"] == weights_sha256(model)
    files = ("model.onnx", "config.json", "preprocessor_config.json")
    assert record["sha256"] == {name: sha256((folder / name).read_bytes()).hexdigest() for name in files}
    assert record["inputs"] == {
        "pixel_values": {"dtype": "torch.float32", "shape": ["batch", 4, 3, 20, 20]},
        "bool_masked_pos": {"dtype": "torch.bool", "shape": ["batch", 8]},
    }
    assert (record["logits"], record["au_names"]) == (["batch", 4, 3], list(AUS.values()))
    assert record["largest_difference"]["model.onnx"]["logits"] < 1e-4


def test_no_path_of_this_machine_is_written(checkpoint, crops, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "cpu_has_int8", lambda: True)
    monkeypatch.setattr(exported, "cpu_has_int8", lambda: True)
    export.export_model(
        AUDetector.from_pretrained(checkpoint, dtype="float32", cropped=True), tmp_path / "out", "onnx", crops
    )
    places = {str(Path(module.__file__).parent).encode() for module in (export, torch)} | {bytes(tmp_path)}
    for name in ("model.onnx", "model.int8.onnx", "export.json"):
        written = (tmp_path / "out" / name).read_bytes()
        assert [place for place in places if place in written] == []


@pytest.mark.skipif(not cpu_has_int8(), reason="without VNNI, int8 products saturate")
def test_int8_is_smaller_and_close(crops, tmp_path):
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(hidden_size=96, intermediate_size=384)), scale=0.02)
    detector = AUDetector(model, AUVMAEImageProcessor(size=20), cropped=True)
    record = export.export_model(detector, tmp_path / "out", calibration=crops)
    whole, int8 = tmp_path / "out" / "model.onnx", tmp_path / "out" / "model.int8.onnx"
    assert int8.stat().st_size < 0.5 * whole.stat().st_size
    windows = torch.cat([each["pixel_values"] for each in record_windows(detector, crops)])
    logits, exact = (OnnxModel(path)(windows).logits for path in (int8, whole))
    probs, expected = logits.sigmoid(), exact.sigmoid()
    drift = (probs - expected)[1::2].abs().max()
    assert 1e-5 < drift < 0.1  # rounded, but still close
    assert record["largest_difference"]["model.int8.onnx"]["probs"] == pytest.approx(float(drift), abs=1e-5)
    # signed weights and unsigned inputs, which VNNI multiplies
    kinds = {one.data_type for one in onnx.load(int8).graph.initializer if one.name.endswith("zero_point")}
    assert kinds <= {onnx.TensorProto.UINT8, onnx.TensorProto.INT8, onnx.TensorProto.INT32}


def test_int8_is_not_offered_without_its_instructions(checkpoint, exports, tmp_path, monkeypatch, capsys):
    for module in (export, exported):
        monkeypatch.setattr(module, "cpu_has_int8", lambda: False)
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "out"), "--int8"]) == 2
    assert "this processor has no int8 instructions (VNNI or AMX)" in capsys.readouterr().err
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "out"), "--calibration", "a.mp4"]) == 2
    assert "--calibration needs --int8" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    folder = copytree(exports["video"], tmp_path / "model")
    (folder / "model.onnx").rename(folder / "model.int8.onnx")
    assert main(["predict", "x.mp4", "-o", str(tmp_path / "out"), "-m", str(folder / "model.int8.onnx")]) == 2
    assert f"and is slower than float32 on this one: use {folder / 'model.onnx'}" in capsys.readouterr().err


@pytest.mark.parametrize("recordings", [[], [np.zeros((3, 20, 20, 3), np.uint8)]])
def test_recordings_without_windows_cannot_calibrate(checkpoint, recordings):
    detector = AUDetector.from_pretrained(checkpoint, dtype="float32", cropped=True)
    with pytest.raises(ValueError, match=rf"have {len(recordings)} windows with a face: pass longer ones"):
        record_windows(detector, recordings)


def test_windows_are_taken_from_all_recordings(checkpoint):
    detector = AUDetector.from_pretrained(checkpoint, dtype="float32", cropped=True, level="video")
    recordings = [np.full((200, 20, 20, 3), value, np.uint8) for value in (0, 90)]
    windows = record_windows(detector, recordings)
    values = [each["pixel_values"].mean().item() for each in windows]
    assert len(windows) == 64
    assert len({*values[:32]}) == len({*values[32:]}) == 1
    assert values[0] < values[-1]


def test_a_file_of_another_version_is_refused(exports, tmp_path):
    folder = copytree(exports["video"], tmp_path / "model")
    record = json.loads((folder / "export.json").read_text())
    record["versions"]["auvmae"] = "0.0.1"
    (folder / "export.json").write_text(json.dumps(record))
    with pytest.raises(
        ValueError, match=r"exported by auvmae 0\.0\.1, but this is auvmae .*: export the checkpoint again"
    ):
        AUDetector.from_pretrained(folder / "model.onnx")


@pytest.mark.parametrize("level", RATES)
def test_predict_writes_the_same_table(checkpoint, exports, level, tmp_path):
    video = write_video(tmp_path / "a.mp4", 30)
    tables = []
    for name, model in (("torch", checkpoint), ("onnx", exports[level] / "model.onnx")):
        arguments = ["predict", str(video), "-m", str(model), "-o", str(tmp_path / name), "--cropped"]
        assert main([*arguments, "--device", "cpu", "--dtype", "float32", "--level", level]) == 0
        tables.append(pandas.read_csv(tmp_path / name / "a.csv"))
    probs, expected = (table.filter(like="_p") for table in tables)
    np.testing.assert_allclose(probs, expected, atol=1e-4, rtol=0)
    assert expected.to_numpy().std() > 0.01
    assert list(tables[0]) == list(tables[1])


def test_two_exports_are_equal_byte_by_byte(checkpoint, exports, tmp_path):
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "again"), "--level", "patch"]) == 0
    for path in exports["patch"].iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("name", ["model.onnx", "config.json", "preprocessor_config.json", "export.json"])
@pytest.mark.parametrize("change", ["deleted", "another"])
def test_a_model_is_tied_to_the_files_of_its_export(exports, tmp_path, name, change):
    folder = copytree(exports["video"], tmp_path / "model")
    if change == "deleted":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((exports["frame"] / name).read_bytes().replace(b'"crop"', b'"more"') + b" ")
    with pytest.raises((ValueError, OSError), match=r"export the \w+ again|auvmae export|no config\.json"):
        AUDetector.from_pretrained(folder / "model.onnx")


def test_an_exported_output_that_is_not_a_number_is_refused(checkpoint, tmp_path, monkeypatch, capsys):
    call = OnnxModel.__call__

    def broken(self, *args, **kwargs):
        output = call(self, *args, **kwargs)
        if self.path.name == "model.onnx":
            output.logits[-1, -1, -1] = torch.nan
        return output

    monkeypatch.setattr(OnnxModel, "__call__", broken)
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "out")]) == 2
    assert "The output of model.onnx is not a number" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_provenance_tells_files_apart(exports):
    found = [
        AUDetector.from_pretrained(exports[level] / "model.onnx").provenance([])
        for level in ("video", "frame", "video")
    ]
    assert found[0] == found[2]
    assert found[0]["weights_sha256"] != found[1]["weights_sha256"]
    assert found[0]["model"] == "video/model.onnx"
    assert found[0]["thresholds"] == [0.4, 0.5, 0.6]
    assert "onnxruntime" in found[0]["versions"]


def test_a_file_that_is_wrong_is_not_left(checkpoint, tmp_path, monkeypatch, capsys):
    forward = export.WindowModel.forward
    monkeypatch.setattr(
        export.WindowModel, "forward", lambda self, pixel_values: (forward(self, pixel_values)[0] + 2e-4,)
    )
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "out")]) == 2
    assert (
        "On random windows, the exported model's logits differ from the model's by 2.0e-04, more than 1e-04"
        in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


def test_a_breakdown_leaves_what_was_there(checkpoint, exports, tmp_path, monkeypatch):
    out = tmp_path / "out"
    copytree(exports["video"], out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(export, "_largest_differences", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["export", str(checkpoint), "-o", str(out), "--overwrite"])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert list(tmp_path.iterdir()) == [out]


def test_what_cannot_be_is_refused(checkpoint, exports, tmp_path, monkeypatch, capsys):
    file = str(exports["video"] / "model.onnx")
    (tmp_path / "config.json").write_bytes((exports["video"] / "config.json").read_bytes())
    (tmp_path / "broken.onnx").write_text("no model")
    for arguments, message in (
        (["-m", file, "--level", "frame"], "mask_ratio 0.0, which is not level 'frame': export the checkpoint again"),
        (
            ["-m", file, "--dtype", "bfloat16"],
            "runs on the CPU in float32 only, found device None and dtype torch.bfloat16",
        ),
        (["-m", file, "--engine", "torch"], "runs in the engine onnx, not in torch: omit --engine"),
        (["-m", str(checkpoint), "--engine", "onnx"], "the engine onnx runs exported models only"),
        (["-m", file, "--device", "cuda"], "runs on the CPU in float32 only, found device cuda"),
        (["-m", str(tmp_path / "no.onnx")], "no.onnx does not exist: create it with `auvmae export MODEL -o"),
        (["-m", str(tmp_path / "broken.onnx")], f"onnxruntime cannot read {tmp_path / 'broken.onnx'} as a model"),
    ):
        assert main(["predict", "x.mp4", "-o", str(tmp_path / "out"), *arguments]) == 2
        assert message in capsys.readouterr().err
    assert main(["export", file, "-o", str(tmp_path / "out")]) == 2
    assert "This model is already exported" in capsys.readouterr().err
    monkeypatch.setattr(export, "MAX_BYTES", 1000)
    assert main(["export", str(checkpoint), "-o", str(tmp_path / "out")]) == 2
    assert "An ONNX file holds at most 2 GiB" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
