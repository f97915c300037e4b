"""The rig is read as distributed, and other folders get one sentence."""

import json
import shutil

import numpy as np
import pytest

from auvmae.data.portraits.rig import EYES, GUMS, IDENTITY_MODES, MOUTH, SKIN, SOCKETS, TEETH, load_rig

from ...support.forge_rig import NAMES, RADIUS, displacement, forge_mesh


def test_parts_come_from_materials_and_places(rig):
    _, faces, _ = forge_mesh()
    count = {part: int((rig.parts == part).sum()) for part in range(6)}
    assert count[SKIN] == 2 * len(faces["M_Face"])
    assert (count[MOUTH], count[SOCKETS], count[GUMS], count[TEETH]) == (128, 256, 128, 256)
    assert 0 < count[EYES] < 2 * 2 * 96  # the front of both balls
    assert rig.vertices[np.unique(rig.triangles[rig.parts == MOUTH]), 1].max() < 0
    assert rig.vertices[:, 0].max() < 12  # the back of the head is left out


def test_shapes_and_landmarks_move_with_their_vertices(rig):
    vertices, _, landmarks = forge_mesh()
    np.testing.assert_allclose(rig.vertices[rig.landmarks], vertices[landmarks], atol=1e-5)
    assert rig.names[: len(NAMES)] == tuple(NAMES)
    for name in ("jawOpen", "mouthSmile_L", "cheekRaiser_R"):
        moved = rig.shapes[rig.names.index(name), rig.landmarks]
        np.testing.assert_allclose(moved, displacement(name)[landmarks], atol=2e-5)
    assert len(rig.identities) == IDENTITY_MODES
    np.testing.assert_allclose(rig.identities[7, rig.landmarks], displacement("identity007")[landmarks], atol=2e-5)


def test_morph_is_a_sum(rig):
    identity, weights = np.array([0.5, -1.0]), rig.weights({"jawOpen": 0.3, "eyeBlink_L": 1.0})
    expected = rig.vertices + 0.5 * rig.identities[0] - rig.identities[1] + 0.3 * rig.shapes[rig.names.index("jawOpen")]
    expected = expected + rig.shapes[rig.names.index("eyeBlink_L")]
    np.testing.assert_allclose(rig.morph(identity, weights), expected, atol=1e-5)


def test_eyes_are_measured(rig):
    np.testing.assert_allclose(rig.eye_centres[:, :2], [[-3, 3.5], [3, 3.5]], atol=1e-4)
    assert rig.eye_radius == pytest.approx(RADIUS, abs=1e-4)


def test_cached_rig_is_the_same(rig_folder, rig, tmp_path):
    assert list(tmp_path.iterdir()) == []
    for _ in range(2):
        kept = load_rig(rig_folder.parent, tmp_path)
        for name, value in vars(rig).items():
            assert np.array_equal(getattr(kept, name), value), name
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def damaged(rig_folder, tmp_path):
    return shutil.copytree(rig_folder, tmp_path / "FaceXModel")


def test_other_folders_are_named(tmp_path, damaged):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere does not hold the face rig .* found no such folder. Get it with"
    ):
        load_rig(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected vertex_indices.json, .* found 0 .obj files"):
        load_rig(tmp_path / "empty")
    (damaged / "jawOpen.obj").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected jawOpen.obj, found 105 .obj files.*github.com/ICT-VGL"):
        load_rig(damaged)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("vertex_indices.json", "{", "vertex_indices.json is damaged"),
        ("vertex_indices.json", json.dumps({"expressions": [], "idx_to_landmark_verts": [1]}), "lists 1 landmarks"),
        ("identity003.obj", "v 1 2 3\n", "identity003.obj has 1 vertices, expected"),
        ("identity003.obj", "v 1 two 3\n", "identity003.obj is damaged"),
        ("generic_neutral_mesh.obj", "v 1 2 3\n", "no valid faces of the material M_Face"),
    ],
)
def test_damaged_files_are_named(damaged, name, content, sentence):
    (damaged / name).write_text(content)
    with pytest.raises(ValueError, match=sentence):
        load_rig(damaged)
