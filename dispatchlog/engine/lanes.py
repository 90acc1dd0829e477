"""What a lane is: a dispatch log table and how to send one row of it. Owns the shape; knows no system.

A lane whose rows go to many endpoints of one kind is divided into routes. Sent through one of its routes, a lane is a lane
like any other (`through`), with that route's gateway, pace and retries; so nothing but the claim knows of routes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from dispatchlog.engine.content import RowSeal, Seal
from dispatchlog.engine.gateway import Gateway
from dispatchlog.engine.persons import Persons
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.tables import Dispatch

Row = Mapping[str, Any]
"""One row of a lane by column name, as the claim returned it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What a lane composed for one row: to whom, which bytes, and what the gateway needs besides."""

    recipient: str
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a claimed row must not leave now: it is put off `until` then, or, without such an instant, never leaves."""

    code: str
    reason: str
    until: datetime | None = None


@dataclass(frozen=True)
class Route:
    """One endpoint among those a lane's rows go to; in what order they leave by it is said by the lane's `in_turn`.

    Attributes:
        name: what the rows' column `route` holds.
        gateway: the endpoint; its name is that of its breaker, its rate and its holds.
        retry, batch, rate_per_second, burst: as a lane has them.
        in_line: a row that waits for its next attempt, or failed, holds all later ones; else only those of its key.
        closed: why nothing may leave by it now, in a sentence for people; "" while it is open.
    """

    name: str
    gateway: Gateway
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    batch: int = 10
    rate_per_second: float | None = None
    burst: int = 1
    in_line: bool = False
    closed: str = ""


@dataclass(frozen=True)
class Lane:
    """One kind of outgoing act.

    Attributes:
        name: stable name, in messages, URLs and the log.
        title: the same in plain words, for pages.
        model: the lane's table.
        build_gateway: makes the gateway; called once per process, when first needed.
        compose: a row into a Letter; raises CannotCompose with a code when the row cannot be sent as it stands.
        retry: the only owner of retries.
        batch: rows per claim at the most.
        slots: drains of this lane at once in one process.
        rate_per_second: calls to the gateway per second, over all workers together; None: as fast as it takes them.
        burst: how many of them may go at once after a rest.
        body_on_row: compose only copies what the row already holds, so the bytes are not stored a second time.
        after_sent: runs in the transaction that records SENT; what follows from a sending belongs here.
        waits_for_sweep: the first attempt waits for the lane's scheduled sweep; later ones go when due.
        ordered: rows with an ordering key leave strictly one at a time, oldest first, per key.
        failed_blocks: in an ordered lane, a FAILED row holds the later ones of its key; such a lane's table needs an index
            on (ordering_key, seq) where status = 'FAILED' and ordering_key is not null.
        routes: the routes in force by name, where the rows are divided among endpoints by their column `route`; the lane's
            own gateway then only stands for all of them in words, and its table is a `routed_lane_table`.
        in_turn: by each route rows leave in the order of their insertion, one run at a time; else as they become due, as
            in a lane without routes.
        may_leave: the last question before a row leaves, asked in the transaction that marks it as leaving, so that
            nothing committed before is overlooked; a Refusal keeps it.
        goes_stale: a row that waits longer than its `stale_at` fails as TOO_OLD; a person's retry lifts that limit.
        route: the route that this lane is sent through; None for the lane as a whole.
        queue, actor: where a wake-up for this lane goes.
        inlets: further queues, whose actors bring it rows.
        tells_each: the log has a line at level info for each dispatch and batch; elsewhere they are at debug.
        recipient_column: the column an operator may correct, or "" where there is none.
        shown_recipient_column: the column that pages show, masked, where nobody may correct it.
        says: what a row says as people read it, from the row alone and in every state; for lanes whose bytes are in a
            provider's own form.
        caution: what speaks against sending the row as things stand, in a sentence for people; "" where nothing does. It
            reads only.
        persons: the texts on the row and in its bytes that name or describe a person, whatever the format of the bytes:
            they are masked wherever the content is shown, unless somebody who may asks to see them. For columns and
            fields of JSON `persons_in_fields` reads them.
        audience: the permission without which nobody's pages show anything of this lane.
        seal: keeps what was composed from whoever has a copy of the database; None: it is stored as it is. The product's
            lanes have one.
        row_seal: the same for columns of its rows; all of the functions here get rows that were `opened`.
    """

    name: str
    title: str
    model: type[Dispatch]
    build_gateway: Callable[[], Gateway]
    compose: Callable[[Row], Letter]
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    batch: int = 100
    slots: int = 3
    rate_per_second: float | None = None
    burst: int = 1
    body_on_row: bool = False
    after_sent: Callable[[Sequence[Row]], None] | None = None
    waits_for_sweep: bool = False
    ordered: bool = False
    failed_blocks: bool = False
    routes: Callable[[], Mapping[str, Route]] | None = None
    in_turn: bool = True
    may_leave: Callable[[Row], Refusal | None] | None = None
    goes_stale: bool = False
    route: Route | None = None
    queue: str = "dispatch"
    actor: str = "drain"
    inlets: tuple[str, ...] = ()
    tells_each: bool = False
    recipient_column: str = ""
    shown_recipient_column: str = ""
    says: Callable[[Row], Letter] | None = None
    caution: Callable[[Row], str] | None = None
    persons: Persons | None = None
    audience: str = "read"
    seal: Seal | None = None
    row_seal: RowSeal | None = None

    @cached_property
    def table(self) -> str:
        """The table's name, quoted nowhere: it comes from code and is a plain identifier."""
        return str(self.model._meta.table_name)

    @cached_property
    def gateway(self) -> Gateway:
        return self.build_gateway()

    def opened(self, row: Row) -> Row:
        """A row as it was read, with what was sealed in its columns; `compose` and its like get such a row.

        Raises:
            DispatchlogError: it cannot be opened.
        """
        return row if self.row_seal is None else self.row_seal.opened(row)

    def check_seals(self) -> None:
        """Return if this process can seal and open what the lane's rows hold.

        Raises:
            DispatchlogError: it has not the keys; what it claimed would fail with nothing wrong in it.
        """
        for seal in (self.seal, self.row_seal):
            if seal is not None:
                seal.check()

    def search_key(self, address: str) -> str:
        """What stands among a row's search keys for an address."""
        return address.lower() if self.row_seal is None else self.row_seal.search_key(address)

    @property
    def addressee_column(self) -> str:
        """The column of whom a row goes to, whether or not it may be corrected; "" where there is none."""
        return self.recipient_column or self.shown_recipient_column

    @property
    def has_text_on_row(self) -> bool:
        """Whether what it says is fixed when a row is made, so that no try writes it afresh."""
        return self.body_on_row or self.says is not None

    @property
    def is_routed(self) -> bool:
        """Whether its rows are divided among routes and it is not yet one of them."""
        return self.routes is not None and self.route is None

    def through(self, route: Route) -> Lane:
        """This lane, sent by that route."""
        return replace(
            self,
            build_gateway=lambda: route.gateway,
            retry=route.retry,
            batch=route.batch,
            rate_per_second=route.rate_per_second,
            burst=route.burst,
            route=route,
        )

    @property
    def takes_turns(self) -> bool:
        """Whether what it claims is a run, which leaves before the next one is claimed."""
        return self.route is not None and self.in_turn

    def of(self, row: Row) -> Lane:
        """The lane as this row is sent: itself, or through the row's route where it has one that is known."""
        if self.routes is None or self.route is not None:
            return self
        route = self.routes().get(row["route"])
        return self if route is None else self.through(route)

    def gateways(self) -> list[Gateway]:
        """Every gateway by which its rows may leave: its own, or its routes'."""
        if self.routes is None or self.route is not None:
            return [self.gateway]
        return [route.gateway for route in self.routes().values()]

    def gateways_named(self, name: str) -> list[Route | None]:
        """Which of its routes leave by the gateway of this name; None stands for the lane as a whole."""
        if not self.is_routed or self.routes is None:
            return [None] if self.gateway.name == name else []
        return [route for route in self.routes().values() if route.gateway.name == name]

    @property
    def sweep_job(self) -> str:
        """The name under which the scheduler records this lane's sweeps."""
        return f"sweep:{self.name}"


def gateway_names(lanes: Sequence[Lane]) -> set[str]:
    """The names of all gateways by which anything of these lanes leaves."""
    return {gateway.name for lane in lanes for gateway in lane.gateways()}


def narrowed(lane: Lane, gateway: str) -> Lane | None:
    """The part of the lane that leaves by the gateway of this name: all of it, one route of it, or nothing (None)."""
    for route in lane.gateways_named(gateway):
        return lane if route is None else lane.through(route)
    return None
