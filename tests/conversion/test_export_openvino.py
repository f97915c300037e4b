"""Test models in OpenVINO, exported or converted in memory, against the models they came from."""

import json
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas
import pytest
import torch

from auvmae.cli.main import main
from auvmae.conversion import export
from auvmae.inference.detector import AUDetector
from auvmae.inference.runtimes.openvino_model import ConvertedModel, OpenVINOModel
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.system import hardware
from auvmae.system.hardware import cpu_has_bfloat16, cpu_has_int8

from ..support.drawn_faces import write_video
from ..support.tiny import randomise, save_checkpoint, tiny_clip, tiny_config, tiny_mask

pytest.importorskip("openvino", reason="the extra `openvino` is missing")

FRAMES = np.random.default_rng(0).integers(0, 256, (30, 20, 20, 3), np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """Export the checkpoint at patch level."""
    folder = tmp_path_factory.mktemp("exports") / "patch"
    assert main(["export", str(checkpoint), "-o", str(folder), "--format", "openvino", "--level", "patch"]) == 0
    return folder


@pytest.mark.parametrize("level", ["video", "patch"])
def test_logits_are_the_models(level):
    torch.manual_seed(1)
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(grade_intensities=True, clip_length=4)), 0.3)
    masks = [tiny_mask(3)] if level == "patch" else []
    converted = ConvertedModel(model, 1, 0.5 if masks else 0.0, torch.float32)
    for batch_size in (1, 3, 1):  # one is computed early, three at a time
        inputs = [3 * tiny_clip(batch_size), *(mask[:batch_size] for mask in masks)]
        found = converted(*inputs)
        with torch.no_grad():
            expected = model(*inputs)
        torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.intensity_logits, expected.intensity_logits, atol=1e-4, rtol=0)


def test_the_file_is_the_model_in_memory(checkpoint, exported):
    assert {path.name for path in exported.iterdir()} == {
        *("model.xml", "model.bin", "config.json", "preprocessor_config.json", "export.json")
    }
    options = {"cropped": True, "level": "patch", "dtype": "float32"}
    detectors = [
        AUDetector.from_pretrained(checkpoint, **options),
        AUDetector.from_pretrained(checkpoint, engine="openvino", **options),
        AUDetector.from_pretrained(exported / "model.xml", **options),
    ]
    expected, *found = (detector(FRAMES).rows["probs"] for detector in detectors)
    for probs in found:
        np.testing.assert_allclose(probs, expected, atol=1e-4, rtol=0)
    torch_, memory, file = (detector.provenance(FRAMES) for detector in detectors)
    assert (torch_["engine"], memory["engine"], file["engine"]) == ("torch", "openvino", "openvino")
    assert torch_["weights_sha256"] == memory["weights_sha256"] != file["weights_sha256"]
    assert [("openvino" in each["versions"]) for each in (torch_, memory)] == [False, True]
    assert file["model"] == "patch/model.xml"


def test_predict_resumes_in_the_same_engine_only(checkpoint, tmp_path, capsys):
    video = write_video(tmp_path / "a.mp4", 12)
    arguments = [
        "predict",
        str(video),
        "-m",
        str(checkpoint),
        "-o",
        str(tmp_path / "out"),
        "--cropped",
        "--device",
        "cpu",
    ]
    tables = []
    for engine, done in (("torch", 1), ("openvino", 1), ("openvino", 0)):
        assert main([*arguments, "--device", "cpu", "--dtype", "float32", "--engine", engine]) == 0
        assert f"{done} predicted, {1 - done} skipped" in capsys.readouterr().out
        tables.append(pandas.read_csv(tmp_path / "out" / "a.csv").filter(like="_p"))
    np.testing.assert_allclose(tables[0], tables[1], atol=1e-4, rtol=0)


def test_no_path_of_this_machine_is_written(exported):
    places = {str(Path(module.__file__).parent).encode() for module in (export, torch)} | {bytes(exported)}
    for path in exported.iterdir():
        assert [place for place in places if place in path.read_bytes()] == [], path.name


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "config.json"])
def test_a_model_is_tied_to_the_files_of_its_export(exported, tmp_path, name):
    folder = copytree(exported, tmp_path / "model")
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(ValueError, match=rf"{name} is not the file that was exported .* `auvmae export`"):
        AUDetector.from_pretrained(folder / "model.xml")


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="the processor has no bfloat16")
def test_bfloat16_is_close_and_reported(checkpoint, exported):
    drift = json.loads((exported / "export.json").read_text())["largest_difference"]
    assert drift["model.xml"]["probs"] < 1e-5 < drift["model.xml in bfloat16"]["probs"] < 0.02
    model = OpenVINOModel(exported / "model.xml", dtype=torch.bfloat16)
    inputs = tiny_clip(2), tiny_mask(2)
    exact = OpenVINOModel(exported / "model.xml")(*inputs).logits
    assert 0 < (model(*inputs).logits - exact).abs().max() < 0.05
    detector = AUDetector.from_pretrained(exported / "model.xml", device="cpu")  # the default, as in torch
    assert detector.provenance([])["dtype"] == "bfloat16"


@pytest.mark.medium
@pytest.mark.skipif(not cpu_has_int8(), reason="the processor has no int8 instructions")
def test_int8_is_smaller_and_close(tmp_path):
    pytest.importorskip("nncf")
    model = randomise(AUVMAEForFrameAUClassification(tiny_config(hidden_size=96, intermediate_size=384)), scale=0.02)
    detector = AUDetector(model, AUVMAEImageProcessor(size=20), cropped=True)
    record = export.export_model(detector, tmp_path / "out", "openvino", [FRAMES])
    whole, int8 = tmp_path / "out" / "model.xml", tmp_path / "out" / "model.int8.xml"
    assert int8.with_suffix(".bin").stat().st_size < 0.5 * whole.with_suffix(".bin").stat().st_size
    assert 1e-5 < record["largest_difference"]["model.int8.xml"]["probs"] < 0.1
    assert "nncf" in record["versions"]
    detector = AUDetector.from_pretrained(int8, cropped=True)
    assert detector(FRAMES).success.all()
    assert detector.provenance([])["dtype"] == "float32"  # of what is not int8


def test_what_cannot_be_is_refused(checkpoint, exported, tmp_path, monkeypatch, capsys):
    predict = ["predict", "x.mp4", "-o", str(tmp_path / "out"), "-m"]
    for arguments, message in (
        (
            [str(checkpoint), "--engine", "openvino", "--dtype", "float16"],
            "computes in float32 or bfloat16, found float16",
        ),
        ([str(exported / "model.xml"), "--engine", "onnx"], "runs in the engine openvino, not in onnx: omit --engine"),
        ([str(exported / "model.xml"), "--dtype", "float16"], "runs on the CPU in float32 or bfloat16 only"),
    ):
        assert main([*predict, *arguments]) == 2
        assert message in capsys.readouterr().err
    monkeypatch.setattr(hardware, "cpu_has_bfloat16", lambda: False)
    for model in ([str(checkpoint), "--engine", "openvino"], [str(exported / "model.xml")]):
        assert main([*predict, *model, "--dtype", "bfloat16"]) == 2
        assert "this processor lacks bfloat16 (AVX512_BF16 or AMX): pass --dtype float32" in capsys.readouterr().err
