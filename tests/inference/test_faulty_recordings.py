"""Test `predict_folder` on damaged, cut-off and joined recordings, and on extras that fail."""

import json
from pathlib import Path

import av
import numpy as np
import pandas
import pytest
from PIL import Image

from auvmae.inference import predict_folder as module
from auvmae.inference.predict_folder import predict_folder
from auvmae.system.folder_report import print_summary
from auvmae.video.writing import VideoWriter
from tests.support.output_files import names

from ..support.drawn_faces import draw, write_video
from .test_events import read_eaf

pytest.importorskip("cv2", reason="the extra `faces` is missing")

pytestmark = pytest.mark.usefixtures("square")

EXTRAS = ["events", "timeline", "overlay"]


def damage(path, packet):
    """Overwrite a packet of a video; packets are counted in decoding order."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data, (start, size) = bytearray(path.read_bytes()), places[packet]
    data[start : start + size] = bytes(size)
    path.write_bytes(data)


def cut(path, share=0.8):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def test_a_damaged_frame_costs_itself_and_what_refers_to_it(detector, tmp_path, capsys):
    whole, video = write_video(tmp_path / "whole.mp4", 60), write_video(tmp_path / "a.mp4", 60)
    damage(video, 9)
    results = predict_folder(detector, [str(whole), str(video)], tmp_path / "out", extras=EXTRAS)
    rows, right = (pandas.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("a", "whole"))
    lost = rows.success == 0
    assert rows.frame.tolist() == list(range(60))
    assert (rows.timestamp == right.timestamp).all()
    assert 1 <= lost.sum() < 32
    assert not lost[32:].any()
    assert rows[lost].filter(like="AU").isna().all(axis=None)
    first = rows.frame[lost].min()
    assert results[1].reason == f"{lost.sum()} of 60 frames are damaged, the first is frame {first}"
    assert print_summary(results, "predicted", tmp_path / "out" / "predict_report.json") == 3
    assert f"incomplete: {video}: {results[1].reason}" in capsys.readouterr().out
    again = predict_folder(detector, [str(whole), str(video)], tmp_path / "out", extras=EXTRAS)
    assert [(one.status, one.reason) for one in again] == [("skipped", ""), ("skipped", results[1].reason)]


def test_stop_refuses_what_skip_reads(detector, tmp_path):
    video = write_video(tmp_path / "a.mp4", 40)
    damage(video, 9)
    predict_folder(detector, [str(video)], tmp_path / "out")
    detector.damaged = "stop"
    (result,) = predict_folder(detector, [str(video)], tmp_path / "out")
    assert result.status == "failed"
    assert "the frame is damaged" in result.reason or "Invalid data" in result.reason


@pytest.mark.parametrize("suffix", ["mkv", "avi", "mov"])
def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes(detector, tmp_path, suffix):
    video = tmp_path / f"a.{suffix}"
    write_video(video, 90)
    if suffix == "mov":  # the index comes first, as in files for the web
        with (
            av.open(str(video)) as source,
            av.open(str(tmp_path / "b.mov"), "w", options={"movflags": "faststart"}) as to,
        ):
            stream = to.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    to.mux(packet)
        video = tmp_path / "b.mov"
    cut(video)
    (result,) = predict_folder(detector, [str(video)], tmp_path / "out")
    assert result.status == "done"
    assert 0 < result.found < 90
    assert "the file is cut off after" in result.reason


def test_nothing_is_said_of_sound_recordings(detector, tmp_path):
    for suffix in ("mp4", "mkv", "avi", "mov"):
        write_video(tmp_path / "in" / f"{suffix}.{suffix}", 12)
    results = predict_folder(detector, [str(tmp_path / "in")], tmp_path / "out")
    assert [(one.status, one.reason, one.note) for one in results] == [("done", "", "")] * 4


def test_a_clock_that_restarts_goes_on(detector, tmp_path):
    part = tmp_path / "part.mpg"
    with av.open(str(part), "w") as out:
        stream = out.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for number in range(20):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number), format="rgb24")))
        out.mux(stream.encode(None))
    (tmp_path / "joined.mpg").write_bytes(part.read_bytes() * 2)
    (result,) = predict_folder(detector, [str(tmp_path / "joined.mpg")], tmp_path / "out", extras=EXTRAS)
    rows = pandas.read_csv(tmp_path / "out" / "joined.csv")
    assert len(rows) == 40
    assert np.diff(rows.timestamp) == pytest.approx(0.04, abs=1e-3)
    assert (result.reason, result.note) == (
        "",
        "the clock restarts at frame 20; timestamps continue from the frame before",
    )


def test_an_extra_that_fails_does_not_cost_the_table(detector, tmp_path, monkeypatch):
    video, out = write_video(tmp_path / "a.mp4"), tmp_path / "out"

    def burst(*_):
        raise RuntimeError("out of luck")

    with monkeypatch.context() as broken:
        broken.setattr(module, "write_overlay", burst)
        (result,) = predict_folder(detector, [str(video)], out, extras=EXTRAS)
    assert (result.status, result.reason) == ("done", "--overlay failed: out of luck")
    assert "a.overlay.mp4" not in names(out)
    assert {"a.csv", "a.eaf", "a.timeline.png"} < set(names(out))
    (result,) = predict_folder(detector, [str(video)], out, extras=EXTRAS)
    assert (result.status, result.reason) == ("done", "")
    assert "a.overlay.mp4" in names(out)


def test_images_have_no_events_but_a_table(detector, tmp_path):
    (tmp_path / "T1").mkdir()
    for number in range(3):
        Image.fromarray(draw(number)).save(tmp_path / "T1" / f"{number}.png")
    (result,) = predict_folder(detector, [str(tmp_path / "T1")], tmp_path / "out", extras=["events"])
    assert result.reason.startswith("--events failed: events are in seconds")
    assert names(tmp_path / "out") == ["T1.csv", "T1.provenance.json", "predict_report.json"]


def test_a_damaged_image_costs_itself(detector, tmp_path):
    (tmp_path / "T1").mkdir()
    for number in range(1, 6):
        Image.fromarray(draw(number)).save(tmp_path / "T1" / f"{number}.png")
    (tmp_path / "T1" / "3.png").write_bytes(b"no image")
    (result,) = predict_folder(detector, [str(tmp_path / "T1")], tmp_path / "out")
    assert result.reason == "1 of 5 frames is damaged, the first is frame 3"
    assert pandas.read_csv(tmp_path / "out" / "T1.csv").frame.tolist() == [1, 2, 3, 4, 5]


def test_frames_that_change_their_size_are_drawn(detector, tmp_path):
    (tmp_path / "T1").mkdir()
    for number in range(8):
        Image.fromarray(draw(number, size=(96, 128) if number < 4 else (120, 160))).save(
            tmp_path / "T1" / f"{number}.png"
        )
    (result,) = predict_folder(detector, [str(tmp_path / "T1")], tmp_path / "out", extras=["overlay"])
    assert (result.reason, result.found) == ("", 8)


def test_elan_counts_from_the_first_frame(detector, tmp_path):
    video = tmp_path / "late.mkv"
    with VideoWriter(video, 25, 128, 96, timed=True) as writer:
        for number in range(30):
            writer.write(draw(number), 5 + number / 25)
    prediction = detector(video)
    events = prediction.to_events()
    assert events.onset.min() >= 5
    root, _ = read_eaf(prediction.to_eaf("late.mkv"))
    times = [int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")]
    assert min(times) >= 0
    assert max(times) <= 1200


def test_the_api_warns_of_a_damaged_recording(detector, tmp_path):
    video = write_video(tmp_path / "a.mp4", 40)
    damage(video, 9)
    with pytest.warns(UserWarning, match=r"a\.mp4: \d+ of 40 frames are damaged"):
        prediction = detector(video)
    assert "damaged" in json.dumps(prediction.provenance["faults"])
    assert Path(video).name == prediction.provenance["source"]["name"]


def test_a_recording_without_a_sound_frame_fails(detector, tmp_path):
    (tmp_path / "in" / "T1").mkdir(parents=True)
    (tmp_path / "in" / "T1" / "0.png").write_bytes(b"no image")
    video = write_video(tmp_path / "in" / "a.mp4", 6)
    for packet in range(6):
        damage(video, packet)
    for result in predict_folder(detector, [str(tmp_path / "in")], tmp_path / "out"):
        assert result.status == "failed"
        assert "frames can be decoded" in result.reason
    assert names(tmp_path / "out") == ["predict_report.json"]
