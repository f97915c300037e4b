"""Test events against a loop over frames, and ELAN documents against the rules of their schema."""

from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pandas
import pytest

from auvmae.inference.events import EVENT_COLUMNS, EventRule, find_active, find_events
from auvmae.inference.formats.elan import format_eaf

NAMES = ["AU1", "AU12"]


def events_of(probs, face_id=None, timestamp=None, frame=None, thresholds=(0.5, 0.6), **rule):
    probs = np.asarray(probs, float)
    if probs.ndim == 1:
        probs = np.stack([probs, np.zeros_like(probs)], axis=1)
    count = len(probs)
    rows = np.empty(count, [("frame", int), ("face_id", int), ("timestamp", float), ("probs", float, (2,))])
    rows["frame"] = np.arange(count) if frame is None else frame
    rows["face_id"] = 0 if face_id is None else face_id
    rows["timestamp"] = np.arange(count) / 10 if timestamp is None else timestamp
    rows["probs"] = probs
    rule = EventRule(**{"release": 0.8, "min_pause": 0, "min_duration": 0} | rule)
    return find_events(rows, NAMES, thresholds, rule)


def walk(probs, threshold, release):
    """Hysteresis frame by frame."""
    found, start = [], None
    for number, prob in enumerate([*probs, -1]):
        if start is None and prob >= threshold:
            start = number
        elif start is not None and prob < threshold * release:
            found.append((start, number))
            start = None
    return found


@pytest.mark.parametrize("release", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_hysteresis_is_the_walk_over_frames(seed, release):
    rng = np.random.default_rng(seed)
    probs = np.clip(np.cumsum(rng.normal(0, 0.15, 300)) % 1.0, 0, 1)
    assert find_active(probs, 0.5, release) == walk(probs, 0.5, release)
    assert find_active(probs[:0], 0.5, release) == []


def test_an_event_has_its_places_and_its_mean():
    (event,) = events_of([0, 0.2, 0.5, 0.9, 0.9, 0.45, 0.3, 0]).to_dict("records")
    assert event == {
        "face_id": 0,
        "au": "AU01",
        "onset": pytest.approx(0.2),
        "apex": pytest.approx(0.3),
        "offset": pytest.approx(0.6),
        "duration": pytest.approx(0.4),
        "mean_probability": pytest.approx((0.5 + 0.9 + 0.9 + 0.45) / 4),
        "apex_probability": 0.9,
        "onset_frame": 2,
        "apex_frame": 3,
        "offset_frame": 5,
    }


def test_short_pauses_are_closed_before_short_events_are_dropped():
    blinks = [0, 0.9, 0.9, 0, 0.9, 0, 0, 0, 0.9, 0, 0]
    assert events_of(blinks)[["onset_frame", "offset_frame"]].to_numpy().tolist() == [[1, 2], [4, 4], [8, 8]]
    closed = events_of(blinks, min_pause=0.2, min_duration=0.4)
    assert closed[["onset_frame", "offset_frame"]].to_numpy().tolist() == [[1, 4]]
    # a pause or an event of exactly the minimum is kept
    assert len(events_of(blinks, min_pause=0.1)) == 3
    assert len(events_of(blinks, min_duration=0.2)) == 1


def test_times_are_the_recordings_own():
    times = [0.0, 0.1, 0.7, 0.8, 2.0, 2.5]
    table = events_of([0, 0.9, 0.9, 0, 0.9, 0.9], timestamp=times)
    assert table.onset.tolist() == [0.1, 2.0]
    assert table.offset.tolist() == [0.8, 3.0]  # the last frame counts for as long as the one before
    assert table.duration.tolist() == pytest.approx([0.7, 1.0])


@pytest.mark.parametrize("hole", [0.7, 1.0, 100.0])
@pytest.mark.parametrize("fps", [10, 25, 60])
def test_an_event_ends_at_a_hole_in_the_clock(hole, fps):
    times = np.arange(40) / fps + hole * (np.arange(40) >= 25)
    table = events_of(np.full(40, 0.9), timestamp=times)
    table = table[table.au == "AU01"]
    assert table[["onset_frame", "offset_frame"]].to_numpy().tolist() == [[0, 24], [25, 39]]
    assert table.duration.tolist() == pytest.approx([25 / fps, 15 / fps])


@pytest.mark.parametrize("times", [np.arange(20) * 0.5, np.arange(20) * 1.0, np.repeat(np.arange(10), 2) * 0.4])
def test_slow_and_repeated_clocks_have_no_holes(times):
    table = events_of(np.full(20, 0.9), timestamp=times)
    assert table[table.au == "AU01"][["onset_frame", "offset_frame"]].to_numpy().tolist() == [[0, 19]]


def test_a_face_lasts_until_the_first_frame_without_it():
    times = [0, 0.03, 0.43, 0.5, 0.6, 0.7, 0.8]
    for face_id in ([0, 0, 0, -1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1]):
        table = events_of(np.where(np.array(face_id) < 0, np.nan, 0.9), face_id=face_id, timestamp=times)
        assert table.offset.tolist() == pytest.approx([0.5, 0.9])
        read_eaf(format_eaf(table, NAMES, "a.mp4"))  # refuses annotations that overlap
    without = events_of([np.nan, 0.9, 0.9], face_id=[-1, 0, 0], timestamp=[np.nan, 0.1, 0.2])
    assert without.offset.tolist() == pytest.approx([0.3])  # only the times of faces are needed
    with pytest.raises(ValueError, match="no timestamps"):
        events_of([0.9, 0.9, np.nan], face_id=[0, 0, -1], timestamp=[0, 0.1, np.nan])


def test_nothing_goes_on_across_a_lost_face():
    probs = np.full((9, 2), 0.9)
    probs[3:5] = np.nan
    table = events_of(probs, face_id=[0, 0, 0, -1, -1, 1, 1, 2, 2])
    assert table[table.au == "AU12"][["face_id", "onset_frame", "offset_frame"]].to_numpy().tolist() == [
        [0, 0, 2],
        [1, 5, 6],
        [2, 7, 8],
    ]
    away = events_of(np.full(4, 0.9), frame=[0, 1, 5, 6], face_id=[0, 0, 0, 0])
    assert len(away) == 1  # skipped image numbers are not a gap
    frame = [0, 0, 1, 2, 3, 3]
    both = events_of(np.full(6, 0.9), frame=frame, face_id=[0, 1, 1, 1, 0, 1], timestamp=frame)
    assert both[["face_id", "onset_frame", "offset_frame"]].to_numpy().tolist() == [[0, 0, 0], [1, 0, 3], [0, 3, 3]]


def test_without_events_the_columns_are_there():
    assert tuple(events_of([0.1, 0.2]).columns) == EVENT_COLUMNS
    assert len(events_of(np.full((3, 2), np.nan), face_id=[-1] * 3)) == 0


def test_without_a_clock_nothing_lasts():
    with pytest.raises(ValueError, match="no timestamps"):
        events_of([0.9, 0.9], timestamp=[np.nan, np.nan])


@pytest.mark.parametrize("field", [{"release": 0}, {"release": 1.1}, {"min_pause": -1}, {"min_duration": -0.1}])
def test_rules_are_checked(field):
    with pytest.raises(ValueError, match="release must lie in"):
        EventRule(**field)


# the EAF 3.0 schema: attributes (required, optional) and children (in this order) of each element
SCHEMA = {
    "ANNOTATION_DOCUMENT": (
        {"AUTHOR", "DATE", "VERSION"},
        {"FORMAT"},
        ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"],
    ),
    "HEADER": (set(), {"MEDIA_FILE", "TIME_UNITS"}, ["MEDIA_DESCRIPTOR"]),
    "MEDIA_DESCRIPTOR": ({"MEDIA_URL", "MIME_TYPE"}, {"RELATIVE_MEDIA_URL"}, []),
    "TIME_ORDER": (set(), set(), ["TIME_SLOT"]),
    "TIME_SLOT": ({"TIME_SLOT_ID"}, {"TIME_VALUE"}, []),
    "TIER": ({"TIER_ID", "LINGUISTIC_TYPE_REF"}, {"PARTICIPANT", "ANNOTATOR"}, ["ANNOTATION"]),
    "ANNOTATION": (set(), set(), ["ALIGNABLE_ANNOTATION"]),
    "ALIGNABLE_ANNOTATION": ({"ANNOTATION_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2"}, set(), ["ANNOTATION_VALUE"]),
    "ANNOTATION_VALUE": (set(), set(), []),
    "LINGUISTIC_TYPE": ({"LINGUISTIC_TYPE_ID"}, {"TIME_ALIGNABLE", "GRAPHIC_REFERENCES"}, []),
}


def read_eaf(text):
    """The annotations (start, stop, value) of each tier of a valid document, in milliseconds."""
    root = ElementTree.fromstring(text)
    for element in root.iter():
        required, optional, children = SCHEMA[element.tag]
        names = {name for name in element.attrib if "XMLSchema-instance" not in name}
        assert required <= names <= required | optional
        order = [children.index(child.tag) for child in element]
        assert order == sorted(order)
    slots = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")}
    assert min(slots.values(), default=0) >= 0
    assert list(slots.values()) == sorted(slots.values())
    used = [one.attrib[f"TIME_SLOT_REF{end}"] for one in root.iter("ALIGNABLE_ANNOTATION") for end in (1, 2)]
    assert sorted(used) == sorted(slots)  # each once
    identifiers = [*slots, *(one.attrib["ANNOTATION_ID"] for one in root.iter("ALIGNABLE_ANNOTATION"))]
    assert len(identifiers) == len(set(identifiers))
    kinds = {kind.attrib["LINGUISTIC_TYPE_ID"] for kind in root.iter("LINGUISTIC_TYPE")}
    tiers = {}
    for tier in root.iter("TIER"):
        assert tier.attrib["LINGUISTIC_TYPE_REF"] in kinds
        spans = [
            (slots[one.attrib["TIME_SLOT_REF1"]], slots[one.attrib["TIME_SLOT_REF2"]], one[0].text)
            for one in tier.iter("ALIGNABLE_ANNOTATION")
        ]
        assert all(start < stop for start, stop, _ in spans)
        assert all(first[1] <= second[0] for first, second in pairwise(spans))  # none overlap
        assert tier.attrib["TIER_ID"] not in tiers
        tiers[tier.attrib["TIER_ID"]] = spans
    return root, tiers


def test_the_document_is_valid_eaf_and_holds_the_events():
    table = events_of([0, 0.9, 0.8, 0, 0.7, 0, 0])
    root, tiers = read_eaf(format_eaf(table, NAMES, "../in put/a&b<é>.mp4"))
    assert tiers == {
        "AU01 Inner Brow Raiser": [(100, 300, "AU01 0.85"), (400, 500, "AU01 0.70")],
        "AU12 Lip Corner Puller": [],
    }
    media = next(root.iter("MEDIA_DESCRIPTOR")).attrib
    assert media["RELATIVE_MEDIA_URL"] == "../in%20put/a%26b%3C%C3%A9%3E.mp4"
    assert media["MIME_TYPE"] == "video/mp4"


def test_faces_that_are_seen_together_have_tiers_of_their_own():
    probs = np.full((8, 2), 0.9)
    table = events_of(probs, frame=np.repeat(range(4), 2), face_id=[0, 3] * 4, timestamp=np.repeat(range(4), 2))
    _, tiers = read_eaf(format_eaf(table, NAMES, "a.mov", per_face=True))
    assert list(tiers) == [
        "AU01 Inner Brow Raiser (face 0)",
        "AU12 Lip Corner Puller (face 0)",
        "AU01 Inner Brow Raiser (face 3)",
        "AU12 Lip Corner Puller (face 3)",
    ]
    assert all(spans == [(0, 4000, f"{name[:4]} 0.90")] for name, spans in tiers.items())


@pytest.mark.parametrize("per_face", [False, True])
def test_no_events_give_empty_tiers(per_face):
    nothing = pandas.DataFrame([], columns=list(EVENT_COLUMNS))
    _, tiers = read_eaf(format_eaf(nothing, ["AU1", "smile"], "a.mp4", per_face))
    assert [name[:5].strip() for name in tiers] == ["AU01", "smile"]
    assert not any(tiers.values())
