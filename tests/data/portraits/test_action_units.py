"""The table holds every action unit of the data set once, with shapes of the rig."""

from auvmae.data.portraits.action_units import ACTION_UNITS
from auvmae.knowledge.facs import check_au_names

SHAPES = {
    "browDown",
    "browInnerUp",
    "browOuterUp",
    "cheekPuff",
    "cheekRaiser",
    "cheekSquint",
    "eyeBlink",
    "eyeSquint",
    "eyeWide",
    "jawOpen",
    "mouthClose",
    "mouthDimple",
    "mouthFrown",
    "mouthLowerDown",
    "mouthPress",
    "mouthPucker",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmile",
    "mouthStretch",
    "mouthUpperUp",
    "noseSneer",
}


def test_every_action_unit_is_there_once():
    numbers = [unit.number for unit in ACTION_UNITS]
    assert numbers == [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26, 43]
    check_au_names([f"AU{number}" for number in numbers])


def test_shapes_are_those_of_the_rig():
    for unit in ACTION_UNITS:
        assert set(unit.shapes) <= SHAPES, unit
        assert all(0 < abs(weight) <= 2 for weight in unit.shapes.values())
        assert unit.appearance.endswith(".")
