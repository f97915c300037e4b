"""Test the scores on real faces against oracles, and the whole check with a model that copies the channels."""

import json
import sys

import numpy as np
import pandas
import pytest
from PIL import Image

from auvmae import AUDetector

from ..support.tiny import save_checkpoint

FRAMES = {"one": 60, "short": 5, "two": 40}
AUS = ["AU6", "AU12", "AU26"]


@pytest.fixture
def scoring(script):
    return script("real_faces_scores")


@pytest.fixture
def channel_file(tmp_path, scoring):
    """Channels of two clips and a short one; the first frame of each has no face."""
    names = sorted({name for each in scoring.CHANNELS.values() for name in each})
    scores = np.random.default_rng(0).random((sum(FRAMES.values()), len(names))).astype(np.float32)
    clips = np.repeat([*FRAMES], [*FRAMES.values()])
    frames = np.concatenate([np.arange(count) for count in FRAMES.values()])
    scores[frames == 0] = np.nan
    np.savez(tmp_path / "channels.npz", clip=clips, frame=frames, scores=scores, channels=names)
    return tmp_path / "channels.npz"


def write_codes(path, rows, aus=("AU12",), header="clip,frame,split,coder,pass"):
    path.write_text("\n".join([",".join([header, *aus]), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def by_pairs(score, positive):
    above, below = score[positive][:, None], score[~positive]
    return ((above > below) + 0.5 * (above == below)).mean()


def test_action_units_have_the_mean_or_the_greatest_channel(scoring, channel_file):
    with np.load(channel_file) as saved:
        columns = dict(zip(saved["channels"], saved["scores"].T.astype(float), strict=True))
    found = scoring.load_channels(channel_file)
    smile = [columns["mouthSmileLeft"], columns["mouthSmileRight"]]
    parted = [columns["mouthLowerDownLeft"], columns["mouthLowerDownRight"], columns["jawOpen"]]
    np.testing.assert_allclose(found["AU12"], np.mean(smile, axis=0))
    np.testing.assert_allclose(found["AU25"], np.max(parted, axis=0))
    assert not {"AU6", "AU9", "AU23"} & {*found}
    assert found.loc[("two", 0)].isna().all()


def test_scores_against_channels(scoring, channel_file):
    channels = scoring.load_channels(channel_file)
    rng = np.random.default_rng(1)
    score = channels["AU12"] + 0.3 * rng.standard_normal(len(channels))
    score["two"] += 5
    channels["AU26"] *= 0.01  # varies too little
    scores = pandas.DataFrame({"AU6": 0.5, "AU12": score, "AU26": 0.5}, channels.index)
    smile, jaw = scoring.compare_with_channels(scores, channels)
    assert (smile["au"], jaw["au"]) == ("AU12", "AU26")
    assert (jaw["videos"], jaw["auc"], jaw["auc_median"]) == (0, 0.5, 0.5)
    assert np.isnan(jaw["spearman"])

    seen = channels["AU12"].notna()
    ranks = [
        np.argsort(np.argsort(table[seen].loc[clip].to_numpy()))
        for clip in ("one", "two")
        for table in (score, channels["AU12"])
    ]
    each = [np.corrcoef(*ranks[:2])[0, 1], np.corrcoef(*ranks[2:])[0, 1]]
    assert [*smile["spearman_by_clip"]] == ["one", "two"]
    assert [*smile["spearman_by_clip"].values()] == pytest.approx(each)
    assert smile["spearman"] == pytest.approx(np.mean(each))
    values, channel = score[seen].to_numpy(copy=True), channels["AU12"][seen].to_numpy()
    low, high = np.quantile(channel, [1 / 3, 2 / 3])
    outer = (channel <= low) | (channel >= high)
    assert smile["auc"] == pytest.approx(by_pairs(values[outer], channel[outer] >= high))
    clips = channels.index.get_level_values("clip")[seen]
    for clip in FRAMES:
        values[clips == clip] -= np.median(values[clips == clip])
    assert smile["auc_median"] == pytest.approx(by_pairs(values[outer], channel[outer] >= high))


def test_a_constant_has_no_correlation_and_no_thirds(scoring):
    assert scoring.correlate(np.ones(5), np.arange(5)) == 0
    assert np.isnan(scoring.separate_thirds(np.arange(5), np.ones(5)))
    assert np.isnan(scoring.separate_thirds([], []))


def test_clips_with_other_frames_are_refused(scoring, channel_file):
    channels = scoring.load_channels(channel_file)
    scores = pandas.DataFrame(0.5, channels.index, AUS)
    scoring.check_frames(scores, channels)
    with pytest.raises(ValueError, match=r"one has 60 frames, but 59 in the channels"):
        scoring.check_frames(scores, channels.drop(("one", 30)))
    with pytest.raises(ValueError, match=r"two has 40 frames, but 0 in the channels"):
        scoring.check_frames(scores, channels.drop("two"))


def test_codes_count_where_both_passes_agree(scoring, channel_file, tmp_path):
    # first pass, second pass; frame 0 has no face, and frame 50 is coded once
    codes = {0: (1, 1), 1: (1, 1), 2: (1, 1), 3: (0, 0), 4: (0, 0), 5: (1, 0), 6: (-100, 0), 7: (0, 0)}
    rows = [
        ("one.mp4", frame, "report", "x", k + 1, code) for frame, both in codes.items() for k, code in enumerate(both)
    ]
    table = scoring.read_codes(
        write_codes(tmp_path / "codes.csv", [*rows, ("one.mp4", 50, "report", "x", 1, 1), *other_clip()])
    )
    channels = scoring.load_channels(channel_file).drop("two")
    channels.loc["one", "AU12"] = np.linspace(1, 0, 60)
    channels.loc[("one", 0)] = np.nan
    scores = pandas.DataFrame({"AU6": 0.0, "AU12": 0.0}, channels.index)
    scores.loc[[("one", 1), ("one", 3)], "AU12"] = [0.9, 0.6]
    present = (scores > 0.5).astype(float)
    (smile,), without_face = scoring.compare_with_codes(scores, present, channels, table)
    assert (smile["au"], smile["present"], smile["absent"], without_face) == ("AU12", 2, 3, 1)
    assert smile["auc"] == pytest.approx((3 + 0 + 0.5 * 2) / 6)  # 0.9 beats all; 0.0 loses to 0.6 and ties twice
    assert smile["auc_channel"] == 1
    assert smile["f1"] == 0.5  # one of each: hit, false alarm, miss
    assert smile["best_threshold"] == 0.75  # between 0.9 and 0.6, with an F1 of 2/3
    # seven frames that both code: six agree; (4/7)(3/7) + (3/7)(4/7) would be expected by chance
    chance = (4 * 3 + 3 * 4) / 49
    assert smile["kappa"] == pytest.approx((6 / 7 - chance) / (1 - chance))


def other_clip():
    return [("two.mp4", 1, "develop", "x", number, 1) for number in (1, 2)]


def test_a_coded_frame_must_exist(scoring, channel_file, tmp_path):
    channels = scoring.load_channels(channel_file)
    scores = pandas.DataFrame(0.5, channels.index, AUS)
    rows = [("two.mp4", 40, "develop", "x", number, 1) for number in (1, 2)]
    table = scoring.read_codes(write_codes(tmp_path / "codes.csv", rows))
    with pytest.raises(ValueError, match="two has no frame 40"):
        scoring.compare_with_codes(scores, scores, channels, table)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([("a", 0, 1)], "clip,pass", "no column frame"),
        ([("a", 0, "report", "x", 1, 2), ("a", 0, "report", "x", 2, 1)], None, "codes other than"),
        ([("a", 0, "report", "x", 1, 1), ("a.mp4", 0, "report", "x", 1, 1)], None, "twice"),
        ([("a", 0, "report", "x", 1, 1)], None, "1 passes"),
        ([("a", 0, "report", "x", 1, 1), ("a", 1, "develop", "x", 2, 1)], None, "two splits"),
    ],
)
def test_faulty_codes_are_refused(scoring, tmp_path, rows, header, message):
    options = {} if header is None else {"header": header}
    with pytest.raises(ValueError, match=message):
        scoring.read_codes(write_codes(tmp_path / "codes.csv", rows, **options))


@pytest.fixture
def command(script, scoring, channel_file, tmp_path, monkeypatch):
    """Build the command with a model that copies the channels, on a scale of five, as an intensity."""
    real_faces = script("real_faces")
    channels = scoring.load_channels(channel_file)

    def predict(source):
        if isinstance(source, np.ndarray):
            assert source.shape == (real_faces.STILL_FRAMES, 8, 8, 3)
            clip = pandas.DataFrame(source.mean(axis=(1, 2, 3))[:, None] / [50, 500], columns=["AU12", "AU26"])
        else:
            clip = 5 * channels.loc[source.stem, ["AU12", "AU26"]]
        return clip, (clip >= 2.5).astype(float).where(clip.notna())

    monkeypatch.setattr(real_faces, "load_model", lambda checkpoint, cropped, score: predict)
    monkeypatch.setattr(real_faces, "describe_machine", lambda *packages: "a machine")
    monkeypatch.setattr(real_faces, "CODES", tmp_path / "none.csv")
    videos = tmp_path / "videos"
    videos.mkdir()
    for clip in FRAMES:
        (videos / f"{clip}.mp4").touch()

    def run(*flags):
        needed = [videos, "--checkpoint", "any", "--channels", channel_file]
        monkeypatch.setattr(sys, "argv", ["real_faces.py", *map(str, [*needed, *flags])])
        real_faces.main()

    return run


def test_all_checks(command, tmp_path, capsys):
    rows = [("one.mp4", 3, "report", "x", 1, 1), ("one.mp4", 3, "report", "x", 2, 1), *other_clip()]
    codes = write_codes(tmp_path / "codes.csv", rows)
    for name, grey in (("dark", 10), ("bright", 200)):
        Image.new("RGB", (8, 8), (grey,) * 3).save(tmp_path / f"{name}.png")
    (tmp_path / "list.txt").write_text("dark.png\n\nbright.png\n")
    flags = ["--codes", codes, "--split", "report", "--portraits", tmp_path, "--portrait_list", tmp_path / "list.txt"]
    command(*flags, "--figures", tmp_path / "figures", "--json", tmp_path / "scores.json")
    found = json.loads((tmp_path / "scores.json").read_text())
    assert (found["machine"], found["clips"]) == ("a machine", ["one"])
    assert [(row["au"], row["videos"], row["spearman"], row["auc"]) for row in found["channels"]] == [
        ("AU12", 1, 1, 1),
        ("AU26", 1, 1, 1),
    ]
    assert found["channels_mean"] == {"spearman": 1}
    assert (found["codes"][0]["present"], found["codes"][0]["kappa"], found["coded_without_face"]) == (1, None, 0)
    assert (found["neutral_photographs"], found["neutral_per_photograph"]) == (2, 0.5)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["one.png"]
    printed = capsys.readouterr().out
    assert "| AU12 |      1 |     1.00 | 1.00 |                   1.00 |" in printed
    assert "On 2 neutral photographs: 0.50 action units" in printed


def test_without_codes_all_clips_are_compared(command, capsys):
    command()
    printed = capsys.readouterr().out
    assert "3 clips (split: all): one, short, two" in printed
    assert "coded by eye" not in printed
    with pytest.raises(SystemExit, match="--split develop needs a table of codes"):
        command("--split", "develop")


def test_a_checkpoint_gives_scores_and_presence(script, tmp_path, monkeypatch):
    load = AUDetector.from_pretrained
    monkeypatch.setattr(AUDetector, "from_pretrained", lambda name, cropped: load(name, cropped=cropped, device="cpu"))
    predict = script("real_faces").load_model(str(save_checkpoint(tmp_path)), cropped=True)
    scores, present = predict(np.random.default_rng(0).integers(0, 256, (10, 20, 20, 3), np.uint8))
    assert [*scores] == ["AU1", "AU2", "AU12"]
    assert [*scores.index] == [*range(10)]
    assert (present == (scores >= [0.4, 0.5, 0.6])).all(axis=None)
    with pytest.raises(SystemExit, match="grades no intensities"):
        script("real_faces").load_model(str(tmp_path), cropped=True, score="intensity")
