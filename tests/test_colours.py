"""The colours of states can be told apart, by people who see red, green or blue less well too."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from tcpstates.show.colours import STATE_COLOURS, linear_rgb, text_on
from tcpstates.states import State

#: How light of the three primaries is seen without one kind of cones: Machado, Oliveira and Fernandes,
#: A Physiologically-based Model for Simulation of Color Vision Deficiency (2009), severity 1.
VISIONS = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}  # fmt: skip

#: Linear sRGB to Oklab (Ottosson, 2020), in which a difference of 0.02 is just seen side by side.
_TO_CONES = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
_TO_LAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip


def seen(colour: str, vision: str) -> np.ndarray:
    light = np.clip(np.asarray(VISIONS[vision]) @ linear_rgb(colour), 0, 1)
    lab: np.ndarray = _TO_LAB @ np.cbrt(_TO_CONES @ light)
    return lab


def test_every_state_has_a_colour() -> None:
    assert set(STATE_COLOURS) == set(State)


@pytest.mark.parametrize("vision", VISIONS)
def test_any_two_states_can_be_told_apart(vision: str) -> None:
    distances = {
        (one.name, other.name): np.linalg.norm(
            seen(STATE_COLOURS[one], vision) - seen(STATE_COLOURS[other], vision)
        )
        for one, other in combinations(State, 2)
    }
    closest = min(distances, key=lambda pair: distances[pair])
    assert distances[closest] > 0.1, closest


@pytest.mark.parametrize("state", State)
def test_the_name_of_a_state_can_be_read_on_its_colour(state: State) -> None:
    def luminance(colour: str) -> float:
        return float(np.dot([0.2126, 0.7152, 0.0722], linear_rgb(colour)))

    pair = sorted((luminance(STATE_COLOURS[state]), luminance(text_on(STATE_COLOURS[state]))))
    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5  # WCAG 2.2, 1.4.3
