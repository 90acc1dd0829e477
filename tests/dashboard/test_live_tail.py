"""The tail of the log misses no move, in whatever order ids are given out and transactions end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard import live_tail
from dashboard.live_tail import News, Tail, moves_since
from dispatchlog.engine.database import configure, connected, database
from dispatchlog.settings import Settings
from tests.engine.lane import APPLICATION_ROLE, install


@pytest.fixture
def url(settings_env: Settings) -> Iterator[str]:
    install(settings_env.database_url)
    configure(settings_env.database_url, role=APPLICATION_ROLE, name="test")
    yield settings_env.database_url
    database.close_all()


@contextmanager
def opened(url: str, *, autocommit: bool) -> Iterator[Any]:
    with closing(psycopg2.connect(url, options=f"-c role={APPLICATION_ROLE}")) as connection:
        connection.autocommit = autocommit
        yield connection


@pytest.fixture
def cursor(url: str) -> Iterator[Any]:
    with opened(url, autocommit=True) as connection, connection.cursor() as cursor:
        yield cursor


@pytest.fixture
def writer(url: str) -> Iterator[Callable[[], Any]]:
    """Makes connections that write parcels in transactions of their own."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda: stack.enter_context(opened(url, autocommit=False))


def write(connection: Any, count: int = 1) -> set[str]:
    """New parcels in the connection's transaction; their ids."""
    ids = {str(uuid4()) for _ in range(count)}
    with connection.cursor() as cursor:
        for identity in ids:
            cursor.execute("INSERT INTO parcels (id, body_text) VALUES (%s, 'x')", (identity,))
    return ids


def started(cursor: Any) -> Tail:
    """A tail that has told of its beginning."""
    tail = Tail()
    assert not tail.look(cursor)
    assert tail.look(cursor).everything
    return tail


def told(news: News) -> set[str]:
    return {move.dispatch_id for move in news.moves}


def test_what_commits_is_told_once_with_lane_and_status(cursor: Any, writer: Callable[[], Any]) -> None:
    tail, one = started(cursor), writer()
    ids = write(one)
    assert not tail.look(cursor)
    one.commit()
    (move,) = tail.look(cursor).moves
    assert (move.lane, {move.dispatch_id}, move.status) == ("parcel", ids, "PENDING")
    assert not tail.look(cursor)


def test_a_smaller_id_that_commits_later_is_told(cursor: Any, writer: Callable[[], Any]) -> None:
    tail, slow, quick = started(cursor), writer(), writer()
    late, early = write(slow, 3), write(quick)
    quick.commit()
    assert told(tail.look(cursor)) == early
    for _ in range(3):
        assert not tail.look(cursor)
    slow.commit()
    assert told(tail.look(cursor)) == late
    assert not tail.look(cursor)


def test_what_commits_between_two_questions_of_one_look_is_told(url: str, writer: Callable[[], Any]) -> None:
    """The writer ends after it was asked who writes and before the rows are read, at every place of a look."""
    for place in range(4):
        slow, quick = writer(), writer()
        with opened(url, autocommit=True) as connection, connection.cursor() as cursor:
            tail = started(cursor)
            late, early = write(slow, 2), write(quick)
            quick.commit()
            spy = _Spy(cursor, before={place: slow.commit})
            seen = told(tail.look(spy))
            for _ in range(3):
                seen |= told(tail.look(spy))
            slow.commit()
            seen |= told(tail.look(spy)) | told(tail.look(spy))
            assert seen == late | early, place


class _Spy:
    """A cursor that lets something happen before its n-th question."""

    def __init__(self, cursor: Any, before: dict[int, Callable[[], None]]) -> None:
        self._cursor, self._before, self._asked = cursor, before, 0

    def execute(self, *arguments: Any) -> None:
        self._before.get(self._asked, lambda: None)()
        self._asked += 1
        self._cursor.execute(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def test_what_was_rolled_back_is_not_waited_for(cursor: Any, writer: Callable[[], Any]) -> None:
    tail, failing, other = started(cursor), writer(), writer()
    write(failing, 2)
    write(other)
    other.commit()
    tail.look(cursor)
    behind = tail.position
    failing.rollback()
    tail.look(cursor)
    assert tail.position > behind
    assert tail._moves._holes == []


def test_whoever_wrote_when_it_began_makes_pages_read_anew_when_they_end(
    cursor: Any, writer: Callable[[], Any]
) -> None:
    slow, quick = writer(), writer()
    write(slow)
    write(quick)
    quick.commit()
    tail = started(cursor)
    assert not tail.look(cursor)
    slow.commit()
    assert tail.look(cursor).everything
    assert not tail.look(cursor)


def test_more_than_can_be_told_is_told_as_everything(
    cursor: Any, writer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_tail, "MOST_MOVES", 3)
    tail, one = started(cursor), writer()
    write(one, 5)
    one.commit()
    assert tail.look(cursor) == News(everything=True)
    assert tail.look(cursor).everything
    ids = write(one)
    one.commit()
    assert told(tail.look(cursor)) == ids


def test_a_page_that_was_away_learns_what_it_missed(cursor: Any, writer: Callable[[], Any]) -> None:
    tail, slow, quick = started(cursor), writer(), writer()
    late, early = write(slow), write(quick)
    quick.commit()
    tail.look(cursor)
    position = tail.position
    slow.commit()
    with connected():
        assert told(moves_since(position)) == late | early
        assert moves_since(10**9).everything


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["write", "write", "commit", "rollback", "look"])), max_size=40
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_in_any_order_every_committed_move_is_told_once(url: str, steps: list[tuple[int, str]]) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        writers = [stack.enter_context(opened(url, autocommit=False)) for _ in range(4)]
        cursor = stack.enter_context(stack.enter_context(opened(url, autocommit=True)).cursor())
        tail = started(cursor)
        open_ids: dict[int, set[str]] = {}
        committed: set[str] = set()
        seen: list[str] = []
        for who, what in [*steps, *((who, "commit") for who in range(4)), (0, "look"), (0, "look")]:
            if what == "write":
                open_ids.setdefault(who, set()).update(write(writers[who]))
            elif what == "commit":
                writers[who].commit()
                committed |= open_ids.pop(who, set())
            elif what == "rollback":
                writers[who].rollback()
                open_ids.pop(who, None)
            else:
                seen += [move.dispatch_id for move in tail.look(cursor).moves]
        assert sorted(seen) == sorted(committed)
        assert tail._moves._holes == []
