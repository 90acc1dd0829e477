"""What the optimiser chooses: by which probabilities, for whom never, and what it believes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatchlog.systems.outreach.optimiser import choosing, learning
from dispatchlog.systems.outreach.optimiser.choosing import CHANNEL, FLOOR, HOUR, Choice, choose, is_held_out
from dispatchlog.systems.outreach.optimiser.learning import HOUR_ARMS, Level, Tried, beliefs, probabilities, spread

ARMS = ("email", "sms", "whatsapp")
NAMESPACE = UUID(int=7)
HELD_OUT = next(p for p in (uuid5(NAMESPACE, str(n)) for n in range(1_000)) if is_held_out(p))
OTHER = next(p for p in (uuid5(NAMESPACE, str(n)) for n in range(1_000)) if not is_held_out(p))
KNOWN: tuple[Level, ...] = (
    {},
    {"email": Tried(900, 90), "sms": Tried(900, 110), "whatsapp": Tried(900, 70)},
    {},
    {"email": Tried(8, 4)},
)

counts = st.tuples(st.floats(0, 500), st.floats(0, 1)).map(lambda pair: Tried(pair[0], pair[0] * pair[1]))


def chosen(number: int, *, mode: str = "on", patient: UUID = OTHER, arms: Sequence[str] = ARMS) -> Choice | None:
    return choose(
        CHANNEL,
        patient,
        arms,
        mode=mode,
        levels=KNOWN,
        context="rx_refill",
        default=arms[0],
        seed=uuid5(NAMESPACE, f"message {number}"),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(HOUR_ARMS), min_size=2, max_size=12, unique=True),
    st.lists(st.dictionaries(st.sampled_from(HOUR_ARMS), counts), min_size=4, max_size=4),
    st.integers(0, 2**32),
)
def test_probabilities_sum_to_one_and_none_is_below_the_floor(
    arms: list[str], levels: list[Mapping[str, Tried]], seed: int
) -> None:
    found = probabilities(arms, levels, floor=FLOOR, rng=np.random.default_rng(seed))
    assert found.sum() == pytest.approx(1)
    assert found.min() >= FLOOR / len(arms) - 1e-12


def test_an_arm_is_drawn_as_often_as_its_probability_says() -> None:
    """Each message has its own probabilities: what they add up to is what is drawn, within four standard errors."""
    drawn: Counter[str] = Counter()
    expected, spread_of = dict.fromkeys(ARMS, 0.0), dict.fromkeys(ARMS, 0.0)
    for number in range(1_500):
        choice = chosen(number)
        assert choice is not None
        assert choice.propensity == choice.arms[choice.arm]
        assert sum(choice.arms.values()) == pytest.approx(1)
        drawn[choice.arm] += 1
        for arm, share in choice.arms.items():
            expected[arm] += share
            spread_of[arm] += share * (1 - share)
    for arm in ARMS:
        assert abs(drawn[arm] - expected[arm]) < 4 * spread_of[arm] ** 0.5
    assert drawn["email"] > drawn["whatsapp"]


def test_the_same_message_draws_the_same_lot() -> None:
    assert chosen(1) == chosen(1)
    assert {choice.arm for number in range(400) if (choice := chosen(number))} == {*ARMS}


def test_a_patient_of_the_hold_out_gets_any_arm_alike_in_every_mode_but_off() -> None:
    for mode in ("learning", "on"):
        choice = chosen(1, mode=mode, patient=HELD_OUT)
        assert choice is not None
        assert choice.policy == "holdout"
        assert [*choice.arms.values()] == pytest.approx([1 / 3] * 3)
    assert chosen(1, mode="off", patient=HELD_OUT) is None


def test_the_hold_out_is_a_tenth_and_the_same_for_ever() -> None:
    patients = [uuid5(NAMESPACE, str(number)) for number in range(4_000)]
    share = sum(map(is_held_out, patients)) / len(patients)
    assert share == pytest.approx(choosing.HOLD_OUT_PERCENT / 100, abs=0.02)
    # Whoever was drawn once must stay drawn, whatever is changed here.
    assert [number for number, patient in enumerate(patients[:60]) if is_held_out(patient)] == [
        3,
        10,
        14,
        27,
        43,
        46,
        59,
    ]


def test_learning_goes_as_usual_but_for_the_floor() -> None:
    choice = chosen(1, mode="learning")
    assert choice is not None
    assert choice.policy == "explore"
    assert choice.arms == pytest.approx({"email": 1 - FLOOR + FLOOR / 3, "sms": FLOOR / 3, "whatsapp": FLOOR / 3})


def test_where_there_is_no_choice_nothing_is_chosen() -> None:
    assert chosen(1, mode="off") is None
    assert chosen(1, arms=("email",)) is None
    assert chosen(1, arms=("email",), patient=HELD_OUT) is None


def test_what_everybody_does_holds_until_a_patient_does_otherwise() -> None:
    arms = ("08-10", "18-20")
    everybody = {"08-10": Tried(5_000, 1_000), "18-20": Tried(5_000, 500)}
    alpha, beta = beliefs(arms, [everybody, {}, {}, {}])
    assert alpha / (alpha + beta) == pytest.approx([0.2, 0.1], abs=0.01)
    assert alpha + beta == pytest.approx(learning.STRENGTHS[-1])
    alpha, beta = beliefs(arms, [everybody, {}, {}, {"08-10": Tried(20, 0), "18-20": Tried(20, 12)}])
    assert (alpha / (alpha + beta))[1] > 0.4
    assert (alpha / (alpha + beta))[0] < 0.1


def test_many_patients_at_once_believe_what_each_believes() -> None:
    rng = np.random.default_rng(3)
    tries = [rng.integers(0, 50, size=(4, 3)).astype(float) for _ in learning.STRENGTHS]
    wins = [np.floor(level * 0.3) for level in tries]
    together = learning.shrunk(tries, wins, learning.STRENGTHS)
    for row in range(4):
        levels = [
            {arm: Tried(t[row, n], w[row, n]) for n, arm in enumerate(ARMS)} for t, w in zip(tries, wins, strict=True)
        ]
        alone = beliefs(ARMS, levels)
        assert together[0][row] == pytest.approx(alone[0])
        assert together[1][row] == pytest.approx(alone[1])


def test_an_arm_that_is_not_permitted_is_never_taken() -> None:
    permitted = np.array([[True, False, True], [False, False, True], [False, False, False]])
    found = learning.thompson(
        np.full((3, 3), 2.0), np.full((3, 3), 3.0), permitted, floor=FLOOR, rng=np.random.default_rng(1)
    )
    assert (found[~permitted] == 0).all()
    assert found.sum(-1) == pytest.approx([1, 1, 0])


def test_an_hour_tells_of_those_beside_it_round_the_clock() -> None:
    tries, wins = np.zeros(12), np.zeros(12)
    tries[0], wins[0] = 2, 1
    near, far = learning.NEIGHBOURS
    found = spread(tries, wins)
    assert found[0][[0, 1, 2, 3, 10, 11]] == pytest.approx([2, 2 * near, 2 * far, 0, 2 * far, 2 * near])
    assert found[1] == pytest.approx(found[0] / 2)


def test_what_is_beside_an_hour_never_outweighs_what_was_tried_at_it() -> None:
    tries, wins = np.zeros(12), np.zeros(12)
    tries[0], wins[0] = 1_000, 1_000
    found = spread(tries, wins)
    assert found[0][[0, 1]] == pytest.approx([1_000, learning.MOST_BORROWED])


def test_older_evidence_counts_less() -> None:
    assert learning.discount(learning.HALF_LIFE_DAYS) == pytest.approx(0.5)
    assert learning.discount(0) == 1


def test_each_kind_has_a_strength_for_every_level() -> None:
    for kind in choosing.KINDS:
        assert len(choosing.strengths_of(kind)) == len(choosing.SCOPES[kind])
    assert len(choosing.keys_of(HOUR, "sms:1", OTHER, None)) == 4
