import numpy as np
import pytest
from PIL import Image

from auvmae.faces.crop import CropRecipe
from auvmae.faces.crop_files import (
    INDEX_COLUMNS,
    NoFaceError,
    crop_video,
    has_index,
    index_path,
    read_index,
    shared_recipe,
)
from auvmae.inference.sources import iter_cropped
from auvmae.video.container import VideoDecodeError
from auvmae.video.reading import iter_frames, num_frames

from ..support.drawn_faces import RECIPE, SHAPE, SquareDetector, draw, read_shades, shade, write_video

pytest.importorskip("cv2", reason="the extra `faces` is missing")


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_frame_i_of_the_crop_is_frame_i_of_the_video(tmp_path, name):
    absent = [0, 1, 10, 11, *range(20, 26), 29]  # before the first face; a short gap; a long one; after the last
    video = write_video(tmp_path / name, absent=absent)
    counts = crop_video(video, tmp_path / "out" / "a.mp4", RECIPE, SquareDetector())
    index = read_index(tmp_path / "out" / "a.mp4")
    missing = [0, 1, *range(20, 26), 29]
    assert counts == (30, 30 - len(missing))
    assert np.flatnonzero(~index.found).tolist() == missing
    assert index.frame.tolist() == list(range(30))
    np.testing.assert_allclose(index.timestamp, [timestamp for _, timestamp, _ in iter_frames(video)], atol=1e-6)
    assert np.isnan(index.box[missing]).all()
    assert (index.confidence[[10, 11]] == 0).all()
    np.testing.assert_allclose(index.box[3], [31.5, 24, 32, 32], atol=1)
    np.testing.assert_allclose(index.landmarks[3], [31.5, 24] + 32 * SHAPE, atol=1)
    expected = np.array([shade(number) for number in range(30)], dtype=float)
    expected[[0, 1]], expected[20:26], expected[29] = shade(2), shade(19), shade(28)
    expected[[10, 11]] = 30  # bridged: the crop shows the frame although the detector found no face
    np.testing.assert_allclose(read_shades(tmp_path / "out" / "a.mp4"), expected, atol=4)


def test_numbers_of_images_are_kept(tmp_path):
    numbers = [8, 9, 10, 11, 99, 100, 101, 1000]
    for number in numbers:
        path = tmp_path / "F001" / "T1" / (f"{number:04d}.jpg" if number % 2 else f"{number}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(number % 10)).save(path, quality=95)
    crop = tmp_path / "out" / "F001" / "T1.mp4"
    assert crop_video(tmp_path / "F001" / "T1", crop, RECIPE, SquareDetector()) == (8, 8)
    index = read_index(crop)
    assert index.frame.tolist() == numbers
    assert np.isnan(index.timestamp).all()
    np.testing.assert_allclose(read_shades(crop), [shade(number) for number in numbers], atol=4)


@pytest.mark.parametrize(("count", "size"), [(1, (96, 128)), (7, (97, 131))])
def test_one_frame_and_odd_sizes(tmp_path, count, size):
    video = write_video(tmp_path / "a.mp4", count, size=size)
    assert crop_video(video, tmp_path / "out" / "a.mp4", RECIPE, SquareDetector()) == (count, count)
    assert num_frames(tmp_path / "out" / "a.mp4") == len(read_index(tmp_path / "out" / "a.mp4").frame) == count


def test_without_a_face_there_is_no_crop(tmp_path):
    video = write_video(tmp_path / "a.mp4", absent=range(30))
    with pytest.raises(NoFaceError, match="none of the 30 frames"):
        crop_video(video, tmp_path / "out" / "a.mp4", RECIPE, SquareDetector())
    assert not list((tmp_path / "out").iterdir())


def test_files_that_are_not_ours_are_not_replaced(tmp_path):
    video, precious = write_video(tmp_path / "a.avi"), write_video(tmp_path / "out" / "a.mp4")
    before = precious.read_bytes()
    with pytest.raises(FileExistsError, match="exists and is not a face crop, so it will not be replaced"):
        crop_video(video, precious, RECIPE, SquareDetector())
    assert precious.read_bytes() == before


def test_an_index_is_an_index(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_index(tmp_path / "a.mp4")
    index_path(tmp_path / "a.mp4").write_text("video,frame,AU1\na,1,0\n")
    with pytest.raises(ValueError, match="not the index of a face crop"):
        read_index(tmp_path / "a.mp4")


def test_index_columns_are_the_documented_ones():
    assert INDEX_COLUMNS[:6] == ("frame", "timestamp", "box_x", "box_y", "box_w", "box_h")
    assert INDEX_COLUMNS[6:16:2] == ("eye_l_x", "eye_r_x", "nose_x", "mouth_l_x", "mouth_r_x")
    assert INDEX_COLUMNS[16:] == ("confidence", "found")


def test_broken_video_raises(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x" * 1000)
    with pytest.raises(VideoDecodeError):
        crop_video(tmp_path / "a.mp4", tmp_path / "out.mp4", RECIPE, SquareDetector())


def test_the_recipe_of_a_data_set_is_the_one_of_all_its_crops(tmp_path):
    video = write_video(tmp_path / "a.mp4", 5)
    crops = [tmp_path / "out" / f"{name}.mp4" for name in "abc"]
    for crop, margin in zip(crops, (0.1, 0.1, 0.2), strict=True):
        crop_video(video, crop, CropRecipe(**RECIPE.to_dict() | {"margin": margin}), SquareDetector())
    assert shared_recipe(crops[:2]) == CropRecipe(**RECIPE.to_dict() | {"margin": 0.1})
    assert shared_recipe([video, tmp_path]) is None
    for different in (crops, [crops[0], video]):
        with pytest.raises(ValueError, match="not cropped with the same recipe"):
            shared_recipe(different)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"recipe": {"sizes": 3}}', '{"recipe": null}'])
def test_a_damaged_mark_is_named(tmp_path, content):
    (tmp_path / "a.faces.json").write_text(content)
    with pytest.raises(
        ValueError, match=r"a\.faces\.json, the mark of a face crop, is damaged. Run `auvmae crop` again"
    ):
        shared_recipe([tmp_path / "a.mp4"])


@pytest.mark.parametrize("content", ["", f"{','.join(INDEX_COLUMNS)}\n1,2,3\n", "\x00", "frame\nx\n"])
def test_a_damaged_index_is_named(tmp_path, content):
    (tmp_path / "a.faces.csv").write_text(content)
    with pytest.raises(ValueError, match=r"a\.faces\.csv is (damaged|not the index)"):
        read_index(tmp_path / "a.mp4")


def test_a_crop_without_its_index_is_refused(tmp_path):
    video = tmp_path / "a.mp4"
    video.touch()
    assert not has_index(video)  # any video
    video.with_suffix(".faces.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"a\.faces\.csv is missing\. Run `auvmae crop` again"):
        has_index(video)
    with pytest.raises(FileNotFoundError, match=r"a\.faces\.csv is missing"):
        next(iter_cropped(video))
    video.with_suffix(".faces.csv").touch()
    assert has_index(video)
