"""Compare our renderer of portraits with other software rasterisers.

    python benchmarks/render.py ../ICT-FaceKit ../assets-person-portrait [FRAMES]

FRAMES (300) random frames of 160 pixels are rendered of one portrait, by one thread: random action units, face shape,
pose, gaze and light. "ours" is `Portrait.render`. The others draw the same moved mesh from the same camera, with the
portrait as its texture: neither the background, eyes and mouth interior, nor the crop, nor the wrinkles and the light
of the photograph. "pyrender" draws with OpenGL in software (Mesa's llvmpipe, which is also behind OSMesa), with one
light. "trimesh" casts one ray per pixel with Embree, without a light. Both take new vertices for every frame, and so do
we: moving the mesh is part of all figures. CPU time is that of the process.

    pip install trimesh pyrender embreex

Rasterisers that are not installed are left out.
"""

import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ |= {"PYOPENGL_PLATFORM": "egl", "LIBGL_ALWAYS_SOFTWARE": "1", "LP_NUM_THREADS": "0"}

import cv2
import numpy as np
from hardware import describe_machine

from auvmae.data.portraits.action_units import NUMBERS, expression_weights
from auvmae.data.portraits.drawing.mesh import rotate
from auvmae.data.portraits.drawing.rendering import Portrait, Renderer, Shot
from auvmae.data.portraits.drawing.wrinkles import Wrinkles
from auvmae.data.portraits.fitting import load_fits, read_portrait
from auvmae.data.portraits.rig import Rig, load_rig

PORTRAIT = "female/512/34.jpg"
SIZE = 160

Draw = Callable[[Shot], np.ndarray]


def random_shots(rig: Rig, count: int) -> list[Shot]:
    """Draw shots in which a fifth of the action units act."""
    rng = np.random.default_rng(0)
    shots, wrinkles = [], Wrinkles(0)
    for _ in range(count):
        intensities = rng.uniform(0, 5, (len(NUMBERS), 2)) * (rng.uniform(size=(len(NUMBERS), 1)) < 0.2)
        shots.append(
            Shot(
                expression_weights(rig, intensities),
                identity=rng.normal(0, 0.3, 10),
                head=tuple(rng.normal(0, 0.1, 3)),
                gaze=tuple(rng.normal(0, 0.1, 2)),
                light=tuple(rng.normal((0, 0.4, 0.9), 0.3)),
                ambient=rng.uniform(0.3, 0.7),
                wrinkles=wrinkles.shade(intensities),
            )
        )
    return shots


class Moved:
    """Move the mesh that the others draw, in pixels of the frame.

    Args:
        portrait: Portrait to animate.
    """

    def __init__(self, portrait: Portrait) -> None:
        self.portrait = portrait
        self.faces = portrait.renderer.mesh.rig.triangles
        self.places = portrait._places

    def place(self, shot: Shot) -> np.ndarray:
        """Return the vertices of a shot with x and y in pixels, and z to the camera."""
        mesh = self.portrait.renderer.mesh
        vertices = mesh.morph(self.portrait.neutral, shot.expression, shot.identity)
        return self.portrait._place(vertices @ (rotate(*shot.head) @ self.portrait.fit.rotation).T, shot)


def by_pyrender(moved: Moved) -> Draw:
    """Draw with pyrender."""
    import pyrender

    half = SIZE / 2
    height, width = moved.portrait.texture.shape[:2]
    uv = (moved.places + 0.5) / (width, height) * (1, -1) + (0, 1)
    pixels = cv2.cvtColor(moved.portrait.texture.astype(np.uint8), cv2.COLOR_RGB2RGBA)
    texture = pyrender.Texture(source=pixels, source_channels="RGBA")
    material = pyrender.MetallicRoughnessMaterial(
        baseColorTexture=texture, metallicFactor=0.0, roughnessFactor=1.0, doubleSided=True
    )
    scene = pyrender.Scene(ambient_light=(0.5, 0.5, 0.5))
    pose = np.eye(4)
    pose[:3, 3] = (half, -half, 1000)
    scene.add(pyrender.OrthographicCamera(half, half, znear=1.0, zfar=3000.0), pose=pose)
    scene.add(pyrender.DirectionalLight(intensity=2.0), pose=pose)
    renderer = pyrender.OffscreenRenderer(SIZE, SIZE)

    def draw(shot: Shot) -> np.ndarray:
        points = moved.place(shot) * np.float32((1, -1, 1))
        primitive = pyrender.Primitive(
            positions=points,
            normals=_normals(points, moved.faces),
            texcoord_0=uv,
            indices=moved.faces,
            material=material,
            mode=4,
        )
        node = scene.add(pyrender.Mesh([primitive]))
        colour, _ = renderer.render(scene)
        scene.remove_node(node)
        return np.asarray(colour)

    draw(Shot(np.zeros(len(moved.portrait.renderer.mesh.rig.names))))
    from OpenGL.GL import GL_RENDERER, glGetString

    renderer._platform.make_current()
    print(f"pyrender draws with {glGetString(GL_RENDERER).decode()}")
    return draw


def _normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = points[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    summed = np.stack(
        [np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), len(points)) for axis in range(3)], axis=1
    )
    return (summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def by_trimesh(moved: Moved) -> Draw:
    """Draw by casting rays with trimesh and Embree."""
    import trimesh
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    rows, columns = np.mgrid[:SIZE, :SIZE]
    origins = np.column_stack([columns.ravel(), rows.ravel(), np.full(SIZE * SIZE, 1000.0)])
    directions = np.tile((0.0, 0.0, -1.0), (SIZE * SIZE, 1))

    def draw(shot: Shot) -> np.ndarray:
        points = moved.place(shot)
        mesh = trimesh.Trimesh(points, moved.faces, process=False)
        hit = RayMeshIntersector(mesh).intersects_first(origins, directions)
        pixels = np.flatnonzero(hit >= 0)
        corners = moved.faces[hit[pixels]]
        # barycentric weights in the image
        a, b, c = (points[corners[:, corner], :2] for corner in range(3))
        place = origins[pixels, :2]
        area = _cross(b - a, c - a)
        weights = np.stack([_cross(b - place, c - place), _cross(c - place, a - place), _cross(a - place, b - place)])
        where = np.einsum("kp,pki->pi", weights / area, moved.places[corners]).astype(np.float32)
        frame = np.zeros((SIZE * SIZE, 3), np.uint8)
        frame[pixels] = cv2.remap(
            moved.portrait.texture, where[None, :, 0], where[None, :, 1], cv2.INTER_LINEAR
        ).reshape(-1, 3)
        return frame.reshape(SIZE, SIZE, 3)

    return draw


def _cross(one: np.ndarray, other: np.ndarray) -> Any:
    return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]


def measure(draw: Draw, shots: list[Shot]) -> tuple[float, float]:
    """Measure frames per second of CPU time and of the clock."""
    for shot in shots[:10]:
        draw(shot)
    spent, started = time.process_time(), time.perf_counter()
    for shot in shots:
        draw(shot)
    return len(shots) / (time.process_time() - spent), len(shots) / (time.perf_counter() - started)


def main() -> None:
    """Print the table."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    cv2.setNumThreads(1)
    rig = load_rig(sys.argv[1])
    shots = random_shots(rig, int(sys.argv[3]) if len(sys.argv) > 3 else 300)
    portrait = Renderer(rig, SIZE).prepare(read_portrait(Path(sys.argv[2], PORTRAIT)), load_fits()[0][PORTRAIT])
    print(describe_machine("opencv-python-headless"))
    moved = Moved(portrait)
    print(f"{len(moved.places)} vertices, {len(moved.faces)} triangles, {SIZE} pixels, {len(shots)} frames")
    ways: dict[str, Callable[[], Draw]] = {
        "ours": lambda: lambda shot: portrait.render(shot).frame,
        "pyrender": lambda: by_pyrender(moved),
        "trimesh": lambda: by_trimesh(moved),
    }
    lines = ["| rasteriser | frames per second and core | by the clock |", "|---|---:|---:|"]
    for name, build in ways.items():
        try:
            label = name if name == "ours" else f"{name} {version(name)}"
            speed, clock = measure(build(), shots)
            lines.append(f"| {label} | {speed:.0f} | {clock:.0f} |")
        except (ImportError, PackageNotFoundError) as error:
            print(f"{name} is left out: {error}")
    print("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
