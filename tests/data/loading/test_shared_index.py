"""Test that an index built in another process equals one built in this process."""

from functools import partial

import pytest

from auvmae.data import load_au_dataset
from auvmae.data.files import DatasetLayoutError
from auvmae.data.loading.shared_index import index_once

from ...support.forge_disfa import numbered_frame, write_video
from ...support.tiny_training import arguments


def test_rows_are_those_of_this_process(tmp_path):
    for name in ("anna/monday", "anna/tuesday", "ben/monday"):
        write_video(tmp_path / f"videos/{name}.mp4", [numbered_frame(index) for index in range(20)])
    load = partial(load_au_dataset, "face_videos", tmp_path / "videos", clip_length=8, num_proc=2)
    found = index_once(partial(load, cache_dir=tmp_path / "theirs"), arguments(tmp_path))
    expected = load(cache_dir=tmp_path / "ours")
    assert found.keys() == expected.keys()
    assert found["train"].features == expected["train"].features
    assert found["train"].to_list() == expected["train"].to_list()


def test_what_is_wrong_is_said_in_this_process(tmp_path):
    with pytest.raises(DatasetLayoutError, match=r"there is no video under"):
        index_once(partial(load_au_dataset, "face_videos", tmp_path), arguments(tmp_path))
