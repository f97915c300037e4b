"""Test measures and pairs against loops over frames and events."""

from dataclasses import replace

import numpy as np
import pandas
import pytest

from auvmae.summaries.measures import measures_of, sums_of
from auvmae.summaries.pairs import STATES, PairCounts

from ..support.predictions import forge_prediction, one_person

SEVERAL = [(frame, track) for frame in range(120) for track in ((0, 1) if frame % 40 else (None,))]


def by_hand(prediction, face, fps=25):
    """Measure frame by frame, and event by event."""
    found = []
    table, events = prediction.to_dataframe(), prediction.to_events()
    own = table[(table["success"] == 1) & ((face < 0) | (table["face_id"] == face))]
    for name in ("AU06", "AU12", "AU25"):
        theirs = events[(events["au"] == name) & ((face < 0) | (events["face_id"] == face))]
        grades = dict(zip(zip(own["face_id"], own["frame"], strict=True), own.get(f"{name}_r", []), strict=False))
        slopes = []
        for event in theirs.to_dict("records"):
            if grades and event["apex"] > event["onset"]:
                ends = [grades[event["face_id"], event[f"{place}_frame"]] for place in ("onset", "apex")]
                slopes.append((ends[1] - ends[0]) / (event["apex"] - event["onset"]))
        minutes = len(own) / fps / 60
        left, right = (own[f"{name}_{side}_r"].sum() if f"{name}_L_r" in own else np.nan for side in "LR")
        found.append(
            {
                "au": name,
                "seconds": len(own) / fps,
                "seconds_without_face": (table["success"] == 0).sum() / fps,
                "share_out_of_range": (own["in_range"] == 0).mean(),
                "share_of_time": (own[f"{name}_c"] == 1).mean(),
                "mean_intensity": own[f"{name}_r"].mean() if grades else np.nan,
                "peak_intensity": own[f"{name}_r"].max() if grades else np.nan,
                "asymmetry": (left - right) / (left + right),
                "events": len(theirs),
                "events_per_minute": len(theirs) / minutes,
                "mean_event_seconds": theirs["duration"].mean(),
                "onset_slope": np.mean(slopes) if slopes else np.nan,
            }
        )
    return pandas.DataFrame(found)


@pytest.mark.parametrize(("graded", "sides"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize(("frames", "every_face"), [(one_person(), False), (SEVERAL, True)])
def test_measures_are_those_of_a_loop(frames, every_face, graded, sides):
    prediction = forge_prediction(frames, every_face=every_face, graded=graded, sides=sides)
    found = measures_of(sums_of(prediction), ["face"])
    for face in found["face"].unique():
        own = found[found["face"] == face].drop(columns="face").reset_index(drop=True)
        # a table has two decimals of an intensity, which a short onset multiplies
        pandas.testing.assert_frame_equal(own, by_hand(prediction, face), check_dtype=False, atol=0.05)
    assert found["face"].unique().tolist() == ([0, 1] if every_face else [-1])


def test_the_share_out_of_range_is_that_of_frames_whose_pose_is_known():
    prediction = forge_prediction(one_person(100, ()))
    out = prediction.in_range == 0
    prediction.rows["pose"][:40] = np.nan
    found = measures_of(sums_of(prediction), ["face"])["share_out_of_range"]
    assert 0 < out[40:].mean() < 1
    np.testing.assert_allclose(found, out[40:].mean())
    prediction.rows["pose"] = np.nan
    assert measures_of(sums_of(prediction), ["face"])["share_out_of_range"].isna().all()
    prediction.provenance["pose_range"] = None
    assert measures_of(sums_of(prediction), ["face"])["share_out_of_range"].isna().all()


def test_a_person_is_measured_over_all_recordings_by_time():
    parts = [forge_prediction(one_person(count), seed=count) for count in (300, 80)]
    sums = pandas.concat([sums_of(part).assign(person="anna") for part in parts])
    both = measures_of(sums, ["person"])
    single = [by_hand(part, -1) for part in parts]
    seconds = [table["seconds"].iloc[0] for table in single]
    for name in ("share_of_time", "mean_intensity", "events_per_minute"):
        expected = np.average([table[name] for table in single], axis=0, weights=seconds)
        np.testing.assert_allclose(both[name], expected, atol=0.01)
    peaks = np.maximum(*(table["peak_intensity"] for table in single))
    np.testing.assert_allclose(both["peak_intensity"], peaks, atol=0.01)


def test_frames_are_weighed_by_their_duration():
    prediction = forge_prediction(one_person(100, ()))
    prediction.rows["timestamp"][50:] += np.arange(50) * 0.04  # the second half at half the frame rate
    table = prediction.to_dataframe()
    found = measures_of(sums_of(prediction), ["face"]).set_index("au")["share_of_time"]
    weights = np.diff(np.append(table["timestamp"], 2 * table["timestamp"].iloc[-1] - table["timestamp"].iloc[-2]))
    for name, share in found.items():
        assert share == pytest.approx(np.average(table[f"{name}_c"] == 1, weights=weights))


def test_pairs_are_counted_as_in_a_loop_over_neighbouring_frames():
    first, second = forge_prediction(one_person()), forge_prediction(one_person(90, range(30, 31)), seed=3)
    counts = PairCounts.of(first) + PairCounts.of(second)
    both, either, joint = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3, 16))
    for prediction in (first, second):
        present, shown = prediction.occurrence, prediction.success
        for frame in np.flatnonzero(shown):
            for i in range(3):
                for j in range(3):
                    both[i, j] += present[frame, i] and present[frame, j]
                    either[i, j] += present[frame, i] or present[frame, j]
                    if frame + 1 < len(shown) and shown[frame + 1]:
                        bits = (present[frame, i], present[frame, j], present[frame + 1, i], present[frame + 1, j])
                        joint[i, j, sum(bit << place for place, bit in enumerate(bits))] += 1
    np.testing.assert_allclose(counts.cooccurrence, both / either)
    np.testing.assert_allclose(counts.transitions, joint / joint.sum(-1, keepdims=True))
    together, transitions = counts.tables()
    assert together.loc[together["au_2"] == "AU25", "probability"].tolist() == [*(both / either)[:2, 2]]
    row = transitions[(transitions["au_1"] == "AU06") & (transitions["au_2"] == "AU25")].set_index(["from", "to"])
    assert row.loc[("10", "01"), "probability"] == pytest.approx(joint[0, 2, 0b1001] / joint[0, 2].sum())
    assert STATES[0b01] == "10"
    strongest = together.loc[together["probability"].idxmax()]
    assert counts.closest_pair() == (strongest["au_1"], strongest["au_2"])


def test_a_recording_without_a_face_counts_nothing():
    prediction = forge_prediction([(0, None), (1, None)])
    assert sums_of(prediction).empty
    assert np.isnan(PairCounts.of(prediction).cooccurrence).all()


def test_a_recording_without_events_is_measured():
    quiet = forge_prediction(one_person(), seed=1)
    quiet = replace(quiet, thresholds=[1.0] * 3)
    assert quiet.to_events().empty
    busy = forge_prediction(one_person(), seed=2)
    found = measures_of(pandas.concat([sums_of(quiet), sums_of(busy)]), ["face"])
    alone = measures_of(sums_of(busy), ["face"])
    assert measures_of(sums_of(quiet), ["face"])[["share_of_time", "events"]].eq(0).all(axis=None)
    np.testing.assert_allclose(found["share_of_time"], alone["share_of_time"] / 2)
    np.testing.assert_array_equal(found["events"], alone["events"])
    np.testing.assert_allclose(found["mean_event_seconds"], alone["mean_event_seconds"])
