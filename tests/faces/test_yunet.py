"""YuNet's decoding, with a forged network of the same inputs and outputs that sees red spots as faces."""

import numpy as np
import pytest

from auvmae.faces.detection import load_detector

onnx = pytest.importorskip("onnx")
pytest.importorskip("cv2")

STRIDES = (8, 16, 32)
LANDMARKS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.0], [-0.4, 0.5], [0.4, 0.5]])


def forge(path, side):
    """Write a network whose score is the redness of a cell, for faces of `side` pixels around the cell's corner."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes, tensors, outputs = [], [], []

    def tensor(name, values, dtype=np.float32):
        tensors.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    for stride in STRIDES:
        pool = f"pool_{stride}"
        nodes.append(
            helper.make_node("AveragePool", ["input"], [pool], kernel_shape=[stride] * 2, strides=[stride] * 2)
        )
        constant = {
            "cls": [0.0],
            "obj": [1.0],
            "bbox": [0, 0, *[np.log(side / stride)] * 2],
            "kps": (LANDMARKS * side / stride).ravel(),
        }
        for name, bias in constant.items():
            weights = np.zeros((len(bias), 3, 1, 1))
            if name == "cls" and stride == 8:
                weights[0, :, 0, 0] = -1 / 255, -1 / 255, 1 / 255  # blue, green, red
            key = f"{name}_{stride}"
            parts = [pool, tensor(f"w_{key}", weights), tensor(f"b_{key}", bias)]
            nodes.append(helper.make_node("Conv", parts, [f"conv_{key}"], kernel_shape=[1, 1]))
            nodes.append(helper.make_node("Transpose", [f"conv_{key}"], [f"last_{key}"], perm=[0, 2, 3, 1]))
            shape = tensor(f"s_{key}", [1, -1, len(bias)], np.int64)
            nodes.append(helper.make_node("Reshape", [f"last_{key}", shape], [key]))
    for name, width in {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}.items():
        for stride in STRIDES:
            shape = [1, "cells", width]
            outputs.append(helper.make_tensor_value_info(f"{name}_{stride}", onnx.TensorProto.FLOAT, shape))
    image = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, "height", "width"])
    graph = helper.make_graph(nodes, "yunet", [image], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return str(path)


def picture(*spots, size=(96, 128)):
    frame = np.zeros((*size, 3), np.uint8)
    for row, column in spots:
        frame[8 * row : 8 * row + 8, 8 * column : 8 * column + 8, 0] = 255
    return frame


def test_boxes_and_landmarks_are_those_of_the_network(tmp_path):
    detector = load_detector(forge(tmp_path / "yunet.onnx", 24), min_face=0.1)
    for row, column in [(4, 4), (6, 11)]:
        (face,) = detector.detect(picture((row, column)))
        corner = np.array([8 * column, 8 * row])
        np.testing.assert_allclose(face.box, [*(corner - 12), 24, 24], atol=1e-3)
        np.testing.assert_allclose(face.landmarks, corner + 24 * LANDMARKS, atol=1e-3)
        assert face.confidence == pytest.approx(1, abs=1e-3)


def test_every_face_is_found_and_green_is_not_red(tmp_path):
    detector = load_detector(forge(tmp_path / "yunet.onnx", 24), min_face=0.1)
    assert len(detector.detect(picture((2, 2), (9, 12)))) == 2
    assert not detector.detect(np.roll(picture((2, 2), (9, 12)), 1, axis=2))


def test_faces_below_the_smallest_are_dropped(tmp_path):
    weights = forge(tmp_path / "yunet.onnx", 24)
    assert len(load_detector(weights, min_face=0.2).detect(picture((4, 4)))) == 1  # 19.2 pixels
    assert load_detector(weights, min_face=0.3).detect(picture((4, 4))) == []


def test_large_frames_are_searched_small_and_answered_in_their_own_pixels(tmp_path):
    detector = load_detector(forge(tmp_path / "yunet.onnx", 24), min_face=0.01)
    small = picture((20, 30), size=(480, 640))
    (face,) = detector.detect(small)
    (large,) = detector.detect(np.repeat(np.repeat(small, 2, axis=0), 2, axis=1))
    np.testing.assert_allclose(large.box, 2 * face.box, atol=1e-2)
    np.testing.assert_allclose(large.landmarks, 2 * face.landmarks, atol=1e-2)


def test_what_is_no_frame_or_no_yunet_is_refused(tmp_path):
    detector = load_detector(forge(tmp_path / "yunet.onnx", 24))
    with pytest.raises(ValueError, match="uint8"):
        detector.detect(np.zeros((96, 128, 3), np.float32))
    (tmp_path / "other.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match="does not hold a YuNet"):
        load_detector(str(tmp_path / "other.onnx"))
    with pytest.raises(FileNotFoundError, match=r"missing\.onnx"):
        load_detector(str(tmp_path / "missing.onnx"))
