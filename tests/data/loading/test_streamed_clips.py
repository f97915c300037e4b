"""Test that a stream gives every video once per pass, and goes on where a run has stopped."""

import gzip
from itertools import islice, pairwise

import datasets
import pytest
import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback

from auvmae.data.loading.loader import MAX_TRIES, ClipCollator
from auvmae.data.loading.streamed_clips import StreamedClips
from auvmae.data.loading.streams import open_stream
from auvmae.processors import AUVMAEImageProcessor
from auvmae.training.trainer import train
from auvmae.video.container import VideoDecodeError

from ...support.forge_disfa import frame_numbers
from ...support.forge_shards import FRAMES, forge_shards
from ...support.tiny import tiny_config
from ...support.tiny_training import losses_of, pretrainer

SIZES = (3, 2, 2)


class StopAt(TrainerCallback):
    """End a run early, as if it had been killed."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream") / "shards"
    forge_shards(folder, SIZES)
    return str(folder)


def stream(shards, **options):
    options = {"resize": torch.from_numpy, "clip_length": 4, "buffer": 3} | options
    return StreamedClips(open_stream(shards), **options)


def batches(clips, workers=0):
    return iter(DataLoader(clips, clips.batch_size, num_workers=workers, collate_fn=ClipCollator()))


def video_of(clip):
    return int(clip.split("video")[1].split()[0])


@pytest.mark.parametrize("counts", [[7], [5, 2], [3, 2, 2], [2, 1, 2, 1, 1]])
def test_every_video_enters_once_per_pass(shards, counts):
    """The counts are the videos per pass of each process; five processes share three shards."""
    passes = [], []
    for process, count in enumerate(counts):
        clips = iter(stream(shards, process=process, processes=len(counts)))
        for seen in passes:
            seen += [video_of(item["clip"]) for item in islice(clips, count)]
    for seen in passes:
        assert sorted(seen) == list(range(sum(SIZES)))


def test_clips_are_consecutive_frames_at_random_places(shards):
    starts = set()
    for item in islice(stream(shards, sampling_rate=2), 40):
        start, number = int(item["clip"].split()[-1]), video_of(item["clip"])
        assert 0 <= start <= FRAMES - 4
        assert frame_numbers(item["frames"].numpy()) == [10 * number + start, 10 * number + start + 2]
        starts.add(start)
    assert len(starts) > 2
    for item in islice(stream(shards, clip_length=12), 7):
        shown = [min(index, FRAMES - 1) for index in range(12)]
        assert frame_numbers(item["frames"].numpy()) == [10 * video_of(item["clip"]) + index for index in shown]


def test_the_order_depends_on_the_seed_and_on_the_pass(shards):
    def order(seed):
        return [video_of(item["clip"]) for item in islice(stream(shards, seed=seed), 14)]

    assert order(0) == order(0) != order(1)
    assert order(0)[:7] != order(0)[7:]


@pytest.mark.parametrize(("workers", "processes"), [(0, 1), (2, 1), (2, 2), (2, 3)])
def test_a_resumed_run_gets_the_clips_of_an_uninterrupted_one(shards, workers, processes):
    options = {"batch_size": 2, "process": processes - 1, "processes": processes, "augment": True}
    options["resize"] = AUVMAEImageProcessor(20).resize_frames
    whole = list(islice(batches(stream(shards, **options), workers), 12))
    for stop in (1, 3, 4, 7, 9):
        resumed = stream(shards, **options)
        resumed.seen_batches = stop
        for expected, found in zip(whole[stop:], batches(resumed, workers), strict=False):
            assert found["clips"] == expected["clips"]
            assert torch.equal(found["frames"], expected["frames"])


def test_seen_videos_are_not_decoded(shards, monkeypatch):
    clips = stream(shards)
    clips.seen_batches = 1000
    decoded = []
    decode = StreamedClips._decode
    monkeypatch.setattr(StreamedClips, "_decode", lambda *args: decoded.append(1) or decode(*args))
    list(islice(clips, 2))
    assert len(decoded) == 2


def test_a_broken_video_gives_its_place_to_the_next(tmp_path):
    forge_shards(tmp_path / "shards", [6], broken=[2, 4])
    clips = stream(str(tmp_path / "shards"), buffer=1)
    items = list(islice(clips, 12))
    reasons = [reason for item in items for reason in item.get("skipped", [])]
    assert sorted(reason.split(":")[0] for reason in reasons) == [
        *["cannot decode id0/video2"] * 2,
        *["cannot decode id0/video4"] * 2,
    ]
    for item, following in pairwise(items):
        if "skipped" in item and "skipped" not in following:
            assert video_of(item["clip"]) == video_of(following["clip"])
    for stop in range(1, 8):
        resumed = stream(str(tmp_path / "shards"), buffer=1)
        resumed.seen_batches = stop
        assert [item["clip"] for item in islice(resumed, 12 - stop)] == [item["clip"] for item in items[stop:]]


def test_videos_without_a_name_have_their_own_draws(tmp_path):
    videos = forge_shards(tmp_path / "shards", [6])
    features = datasets.Features(video=datasets.Video(decode=False))
    encoded = [{"bytes": video.read_bytes(), "path": None} for video in videos]
    (tmp_path / "data").mkdir()
    datasets.Dataset.from_dict({"video": encoded}, features).to_parquet(tmp_path / "data" / "train.parquet")
    assert len({item["seed"] for item in islice(stream(str(tmp_path / "data")), 12)}) == 12


@pytest.mark.parametrize(("processes", "warned"), [(1, False), (3, False), (2, True)])
def test_shards_that_cannot_be_shared_equally_are_a_warning(shards, processes, warned, caplog):
    next(iter(stream(shards, processes=processes)))
    assert ("3 shards cannot be shared equally by 2 loader workers" in caplog.text) == warned


def test_many_broken_videos_end_the_stream(tmp_path):
    forge_shards(tmp_path / "shards", [MAX_TRIES], broken=range(MAX_TRIES))
    with pytest.raises(VideoDecodeError, match=r"cannot decode id\d/video\d: "):
        next(iter(stream(str(tmp_path / "shards"))))


def test_a_compressed_shard_that_was_cut_short(tmp_path):
    """Its end is not checked before, as that of other shards is."""
    forge_shards(tmp_path / "plain", [8])
    (tmp_path / "shards").mkdir()
    data = gzip.compress((tmp_path / "plain" / "faces-0.tar").read_bytes())
    (tmp_path / "shards" / "faces-0.tar.gz").write_bytes(data)
    whole = open_stream(str(tmp_path / "shards"))
    assert len(list(whole)) == 8
    (tmp_path / "shards" / "faces-0.tar.gz").write_bytes(data[: len(data) * 4 // 5])
    clips = StreamedClips(whole, torch.from_numpy, clip_length=4, buffer=1)
    with pytest.raises(OSError, match=r"a shard was cut short or is damaged: .*Copy the shards again"):
        list(islice(clips, 8))


def test_a_reader_without_a_video_is_an_error(tmp_path):
    forge_shards(tmp_path / "shards", [1])
    with pytest.raises(ValueError, match=r"reader 2 of 2 found no video in its shards\. Use fewer processes"):
        next(iter(stream(str(tmp_path / "shards"), process=1, processes=2)))


@pytest.mark.parametrize("workers", [0, 2])
def test_training_resumes_in_the_middle_of_a_pass(shards, tmp_path, workers):
    config = tiny_config(mask_ratio=0.5)

    def trainer(folder, **fields):
        resize = AUVMAEImageProcessor(20).resize_frames
        clips = stream(shards, clip_length=config.clip_length, resize=resize, augment=True, batch_size=2)
        fields = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3, "gradient_accumulation_steps": 2} | fields
        fields["dataloader_num_workers"] = workers
        return pretrainer(folder, clips, config=config, **fields)

    whole, first = trainer(tmp_path / "whole"), trainer(tmp_path / "first")
    train(whole)
    whole_losses = losses_of(whole)
    first.add_callback(StopAt(4))
    train(first)
    assert len(losses_of(first)) == 4
    resumed = trainer(tmp_path / "first", resume_from_checkpoint="true")
    train(resumed)
    assert losses_of(resumed) == pytest.approx(whole_losses, rel=1e-6)
