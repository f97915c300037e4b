"""The command writes a video and a sheet, and answers wrong input with one sentence."""

import av
import numpy as np
import pytest
from PIL import Image

from auvmae.cli.main import main
from auvmae.data.portraits import fitting
from auvmae.data.portraits.action_units import ACTION_UNITS

pytest.importorskip("cv2", reason="the extra `faces` is missing")


@pytest.fixture
def portrait(image, fit, tmp_path, monkeypatch):
    path = tmp_path / "portrait.png"
    Image.fromarray(image).save(path)
    known = {"female/512/0.jpg": fit}, {"female/512/0.jpg": fitting.digest(path)}
    monkeypatch.setattr(fitting, "load_fits", lambda: known)
    return path


@pytest.fixture
def animate(portrait, rig_folder, monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return lambda *words: main(["animate", str(portrait), "--rig_dir", str(rig_folder), *map(str, words)])


def read(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]).astype(float)


def test_the_video_moves_to_the_apex_and_back(animate, tmp_path, capsys):
    out = tmp_path / "new" / "smile.mp4"
    assert animate("--au", "AU12=5", "--au", "au6=2", "-o", out, "--size", "96") == 0
    assert capsys.readouterr().out == f"written: {out}\n"
    frames = read(out)
    assert frames.shape == (90, 96, 96, 3)
    change = np.abs(frames - frames[0]).mean((1, 2, 3))
    assert change[:15].max() < 1  # the codec's noise
    assert change[30:60].min() > 3 * change[[10, 85]].max()
    assert (np.diff(change[16:29]) > -0.2).all()
    assert change[-1] < 2


def test_one_side_moves(animate, tmp_path):
    halves = {}
    for side in "LR":
        assert animate("--au", f"{side}12=5", "-o", tmp_path / f"{side}.mp4", "--size", "96") == 0
        frames = read(tmp_path / f"{side}.mp4")
        change = np.abs(frames[45] - frames[0]).sum((0, 2))
        halves[side] = change[:48].sum(), change[48:].sum()
    # the subject's left is on the right of the image; the crop follows the corners of the mouth a little
    assert halves["L"][1] > 1.3 * halves["L"][0]
    assert halves["R"][0] > 1.3 * halves["R"][1]


@pytest.mark.parametrize("suffix", ["png", "JPG"])
def test_the_sheet_shows_every_action_unit(animate, tmp_path, suffix):
    out = tmp_path / f"sheet.{suffix}"
    assert animate("--sheet", out, "--size", "64") == 0
    with Image.open(out) as sheet:
        assert sheet.size == (9 * 64, -(-len(ACTION_UNITS) // 3) * 64)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "name what to write: a video with --au and -o, or a sheet with --sheet."),
        (("-o", "a.mp4"), "-o needs --au, such as --au AU12=3."),
        (("--au", "AU12=3"), "--au needs -o, the video to write."),
        (("--au", "AU12=3", "-o", "a.gif"), "-o must have the suffix .mp4, .mkv, .mov, .avi, found 'a.gif'."),
        (("--sheet", "a.mp4"), "--sheet must have the suffix .png, .jpg, .jpeg, found 'a.mp4'."),
        (("--au", "AU12", "-o", "a.mp4"), "--au must be like AU12=3, L12=3 or R12=3, found 'AU12'."),
        (("--au", "AU13=3", "-o", "a.mp4"), "--au AU13=3: there is no AU13, choose from 1, 2, 4, "),
        (("--au", "AU12=6", "-o", "a.mp4"), "--au AU12=6: the intensity must be a number in [0, 5], found 6.0."),
        (("--au", "AU12=nan", "-o", "a.mp4"), "the intensity must be a number in [0, 5], found nan."),
        (("--au", "AU12=much", "-o", "a.mp4"), "the intensity must be a number in 0..5, found 'much'."),
        (("--au", "AU12=1", "--au", "L12=2", "-o", "a.mp4"), "--au L12=2: AU12 is given twice for one side."),
        (("--sheet", "a.png", "--size", "9"), "--size must lie in 64 to 1024, found 9."),
        (("--sheet", "a.png", "--rig_dir", "nowhere"), "nowhere does not hold the face rig ICT-FaceKit: expected "),
    ],
)
def test_wrong_words_get_one_sentence(animate, capsys, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert animate(*words) == 2
    said = capsys.readouterr().err
    assert said.startswith("auvmae animate: ")
    assert sentence in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("a.*"))


def test_outputs_that_cannot_be_written_are_named(animate, portrait, capsys, tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert animate("--sheet", tmp_path / "folder.png") == 2
    assert "folder.png is a folder. Name a file with --sheet." in capsys.readouterr().err
    assert animate("--sheet", portrait) == 2
    assert "portrait.png is the portrait. Choose another file for --sheet." in capsys.readouterr().err
    assert animate("--sheet", portrait / "sheet.png") == 2
    assert "portrait.png is a file. Choose a folder as the output." in capsys.readouterr().err


def test_other_images_are_refused(animate, portrait, capsys, tmp_path):
    Image.new("RGB", (64, 64)).save(portrait)
    assert animate("--sheet", tmp_path / "new" / "sheet.png") == 2
    said = capsys.readouterr().err
    assert "is none of the 1 portraits that have a fit. Expected an unchanged file such as female/512/34.jpg" in said
    assert "git clone https://github.com/faker-js/assets-person-portrait" in said
    assert not (tmp_path / "new").exists()
    portrait.unlink()
    assert animate("--sheet", tmp_path / "sheet.png") == 2
    assert "portrait.png is no file. Expected a portrait such as" in capsys.readouterr().err
