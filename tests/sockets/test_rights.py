"""Which room is asked for, who may ask for which, and when what somebody came with is lost."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from dashboard.sockets.rights import Person, Rights
from dashboard.sockets.rooms import read_room

ID = UUID("11111111-1111-4111-8111-111111111111")
OTHER = UUID("22222222-2222-4222-8222-222222222222")
SOMEBODY = Person(ID, OTHER)
ROOMS = ("orders", f"order:{ID}", f"order:{OTHER}", "tickets", f"ticket:{ID}", "ticket-overview")


@pytest.mark.parametrize(
    ("asked", "room"),
    [
        (str(ID), f"order:{ID}"),
        ({"orderId": str(ID)}, f"order:{ID}"),
        (f"order:{str(ID).upper()}", f"order:{ID}"),
        ({"ticketId": str(ID)}, f"ticket:{ID}"),
        ({"room": f"ticket:{ID}", "orderId": str(OTHER)}, f"ticket:{ID}"),
        ("tickets", "tickets"),
        ("ticket-overview", "ticket-overview"),
        (f"ticket:order:{ID}", None),
        (f"thread:{ID}", None),
        ("ticket:", None),
        ({"ticketId": 7}, None),
        ({}, None),
        (None, None),
        ("x" * 1000, None),
    ],
)
def test_a_room_is_named_in_several_ways(asked: Any, room: str | None) -> None:
    assert read_room(asked) == room


@pytest.mark.parametrize(
    ("rights", "rooms"),
    [
        (Rights(), ()),
        (Rights(orders=True), ROOMS[:3]),
        (Rights(orders=True, order_id=ID), (f"order:{ID}",)),
        (Rights(person=SOMEBODY), ("tickets", f"ticket:{ID}")),
        (Rights(oversees=True), ("ticket-overview",)),
        (Rights(orders=True, person=SOMEBODY, oversees=True), ROOMS),
    ],
)
def test_each_right_opens_its_own_rooms(rights: Rights, rooms: tuple[str, ...]) -> None:
    assert tuple(room for room in ROOMS if rights.may_hear(room)) == rooms


def test_whoever_has_lost_a_right_or_acts_for_somebody_else_has_not_what_they_came_with() -> None:
    all_of_it = Rights(orders=True, person=SOMEBODY, oversees=True)
    less = [
        Rights(person=SOMEBODY, oversees=True),
        Rights(orders=True, oversees=True),
        Rights(orders=True, person=SOMEBODY),
        Rights(orders=True, person=Person(OTHER, OTHER), oversees=True),
        Rights(orders=True, person=Person(ID, ID), oversees=True),
    ]
    assert [rights.cover(all_of_it) for rights in less] == [False] * len(less)
    assert [all_of_it.cover(rights) for rights in (*less[:3], Rights())] == [True] * 4
