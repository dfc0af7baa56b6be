"""Who hears what of the fleet, and when. Pure: time comes in as an argument, messages go out as text.

Nothing is queued for a client. A subscription remembers the version up to which it has heard, a vehicle the version at
which it last changed, so that whoever reads slowly gets the latest of each vehicle once, and costs no memory.

Those who follow the whole fleet at the same rate are due at the same moments, so that what is written for the first of
them is what all the others are sent.
"""

import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pydantic_core import to_json

from cloud.ws.facts import Facts, facts_of
from cloud.ws.live_vehicle import LiveVehicle
from cloud.ws.messages import error_message
from cloud.ws.requests import MAX_SUBSCRIPTIONS, RequestError, Subscribe
from cloud.ws.wanted import Wanted
from wire.model import Batch, Event

EVENTS_KEPT = 1000
SHARED_MS = 20.0
"""How old a message may be that was written for another client who wants the same."""
MOST_OF_IT = 0.75
"""Of a period: so much of it may be over, and so much is to be left of it, when a message goes out."""


@dataclass(frozen=True)
class Known:
    """A vehicle as the database has it."""

    ident: str
    name: str
    fleet_id: int
    facts: Facts


@dataclass(eq=False)
class Subscription:
    """`sent` is the version up to which this one has heard; `fresh` asks for a snapshot, `pending` for a look."""

    request: Subscribe
    vehicles: frozenset[str] | None
    signals: Wanted | None
    client: "Client"
    sent: int = -1
    due_ms: float = 0.0
    fresh: bool = True
    pending: bool = True
    inside: set[str] = field(default_factory=set)

    @property
    def is_of_all(self) -> bool:
        return self.vehicles is None and self.request.bbox is None

    def next_due_ms(self, now_ms: float) -> float:
        """As often as was asked for; those of all vehicles at whole multiples of their period.

        Who is served late, because others come first or the machine is busy, is not late the next time, too.
        """
        period_ms = 1000 / self.request.max_hz
        if 0 <= now_ms - self.due_ms < MOST_OF_IT * period_ms:
            return self.due_ms + period_ms
        if not self.is_of_all:
            return now_ms + period_ms
        return math.ceil((now_ms + MOST_OF_IT * period_ms) / period_ms) * period_ms


class Client:
    """One socket. `wake` is called when there may be something to collect."""

    def __init__(self, fleet_id: int, wake: Callable[[], None]) -> None:
        self.fleet_id = fleet_id
        self.wake = wake
        self.subscriptions: dict[int, Subscription] = {}


@dataclass(frozen=True)
class _Happened:
    version: int
    ident: str
    key: bytes
    tail: str


@dataclass(frozen=True)
class _Shared:
    """What whoever had heard all before was told, and up to which version."""

    messages: list[str]
    until: int
    at_ms: float


class _Fleet:
    def __init__(self) -> None:
        self.shared: dict[tuple[int, Wanted | None, int], _Shared] = {}
        self.by_change: OrderedDict[str, LiveVehicle] = OrderedDict()
        self.to_all: set[Subscription] = set()
        self.idle: set[Subscription] = set()
        """Of those to all, the ones that are not to be looked at: else every change would walk all of them."""
        self.to_some: defaultdict[str, set[Subscription]] = defaultdict(set)
        self.events: deque[_Happened] = deque()
        self.event_keys: set[bytes] = set()
        self.forgotten = -1

    @property
    def newest(self) -> int:
        """The version at which a vehicle last changed or something happened."""
        changed = next(reversed(self.by_change.values())).version if self.by_change else -1
        return max(changed, self.events[-1].version if self.events else -1)

    def changed(self, vehicle: LiveVehicle) -> None:
        self.by_change.move_to_end(vehicle.ident)
        self.notify(vehicle.ident)

    def notify(self, ident: str) -> None:
        idle, self.idle = self.idle, set()
        for subscription in (*idle, *self.to_some.get(ident, ())):
            if not subscription.pending:
                subscription.pending = True
                subscription.client.wake()

    def rest(self, subscription: Subscription) -> None:
        """It has heard all that there is."""
        subscription.pending = False
        if subscription.vehicles is None:
            self.idle.add(subscription)

    def refresh(self) -> None:
        for subscription in {*self.to_all, *(one for some in self.to_some.values() for one in some)}:
            subscription.fresh = subscription.pending = True
            subscription.client.wake()


class Hub:
    """The live state of every fleet."""

    def __init__(self) -> None:
        self._version = 0
        self._vehicles: dict[str, LiveVehicle] = {}
        self._fleets: defaultdict[int, _Fleet] = defaultdict(_Fleet)
        self._awake: set[LiveVehicle] = set()

    def load(self, known: Iterable[Known], now_ms: int, *, anew: bool) -> None:
        """Merges what the database has. `anew`: messages may have been missed, so that everybody gets a snapshot."""
        idents = set()
        for row in known:
            idents.add(row.ident)
            vehicle = self._vehicles.get(row.ident)
            if vehicle is None or vehicle.fleet_id != row.fleet_id:
                vehicle = self._add(row)
            elif vehicle.rename(row.name, version=self._next()):
                self._fleets[vehicle.fleet_id].changed(vehicle)
            self._absorb(vehicle, row.facts, now_ms)
        shrunk = {self._remove(ident) for ident in self._vehicles.keys() - idents}
        for fleet_id, fleet in self._fleets.items():
            if anew or fleet_id in shrunk:
                fleet.refresh()

    def forget(self, idents: Iterable[str]) -> None:
        """What was heard of these vehicles; a load that follows says what is still known."""
        for ident in idents:
            if ident in self._vehicles:
                self._remove(ident)

    def apply(self, batch: Batch, received_ms: int, now_ms: int) -> bool:
        """A batch that was just taken in. False for a vehicle that has not been loaded."""
        if not self.hear(batch.vehicle, facts_of(batch, received_ms), now_ms):
            return False
        for event in batch.events:
            self._happen(self._vehicles[batch.vehicle], event)
        return True

    def hear(self, ident: str, facts: Facts, now_ms: int) -> bool:
        """As `apply`, of what a batch without events says."""
        vehicle = self._vehicles.get(ident)
        if vehicle is None:
            return False
        self._absorb(vehicle, facts, now_ms)
        return True

    def tick(self, now_ms: int) -> None:
        """States change by time alone too."""
        for vehicle in list(self._awake):
            if vehicle.refresh_state(now_ms, version=self._next()):
                self._settle(vehicle)

    def unknown(self, fleet_id: int, idents: Iterable[str]) -> list[str]:
        """Those that are no vehicles of this fleet."""
        fleet = self._fleets[fleet_id]
        return sorted(ident for ident in idents if ident not in fleet.by_change)

    def subscribe(self, client: Client, request: Subscribe) -> None:
        """Raises RequestError for one too many, or for vehicles that the fleet has not."""
        vehicles = request.of_vehicles
        if unknown := self.unknown(client.fleet_id, vehicles or ()):
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            raise RequestError(f"there is no vehicle '{unknown[0]}'{more}; GET /v1/vehicles lists them", request.id)
        self.unsubscribe(client, request.id)
        if len(client.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise RequestError(f"{MAX_SUBSCRIPTIONS} subscriptions are open already; end one first", request.id)
        subscription = Subscription(request, vehicles, request.of_signals, client)
        client.subscriptions[request.id] = subscription
        for listeners in self._listeners(subscription):
            listeners.add(subscription)
        client.wake()

    def unsubscribe(self, client: Client, subscription_id: int) -> None:
        subscription = client.subscriptions.pop(subscription_id, None)
        if subscription is not None:
            for listeners in (*self._listeners(subscription), self._fleets[client.fleet_id].idle):
                listeners.discard(subscription)

    def leave(self, client: Client) -> None:
        for subscription_id in list(client.subscriptions):
            self.unsubscribe(client, subscription_id)

    def wait_ms(self, client: Client, now_ms: float) -> float | None:
        """How long until there is something to collect; None: until it wakes."""
        waits = (
            0.0 if subscription.fresh else max(0.0, subscription.due_ms - now_ms)
            for subscription in client.subscriptions.values()
            if subscription.pending
        )
        return min(waits, default=None)

    def collect(self, client: Client, now_ms: float) -> list[str]:
        """What one subscription is due now; empty when none is. Ask again once that is sent."""
        ready = [one for one in client.subscriptions.values() if one.pending and (one.fresh or now_ms >= one.due_ms)]
        # Who waits longest comes first: to one that takes its time all would be due again before the last is served.
        for subscription in sorted(ready, key=lambda one: (not one.fresh, one.due_ms)):
            messages = self._snapshot(subscription) if subscription.fresh else self._news(subscription, now_ms)
            if messages:
                subscription.due_ms = subscription.next_due_ms(now_ms)
                return messages
        return []

    def _snapshot(self, subscription: Subscription) -> list[str]:
        heard = subscription.sent
        subscription.inside.clear()
        vehicles = [vehicle for vehicle in self._covered(subscription, since=-1) if _in_box(subscription, vehicle)]
        if subscription.request.bbox:
            subscription.inside.update(vehicle.ident for vehicle in vehicles)
        shown = [vehicle.news(-1, subscription.signals) for vehicle in sorted(vehicles, key=lambda v: v.ident)]
        events = self._events(subscription, since=heard) if heard >= 0 else []
        self._is_up_to_date(subscription)
        return [_message("snapshot", subscription, shown), *events]

    def _news(self, subscription: Subscription, now_ms: float) -> list[str]:
        if not subscription.is_of_all:
            return self._update(subscription)
        fleet = self._fleets[subscription.client.fleet_id]
        key = (subscription.request.id, subscription.signals, subscription.sent)
        shared = fleet.shared.get(key)
        if shared is not None and now_ms - shared.at_ms <= SHARED_MS:
            subscription.sent = shared.until
            if fleet.newest <= shared.until:
                fleet.rest(subscription)
            return shared.messages
        messages = self._update(subscription)
        fleet.shared = {key: one for key, one in fleet.shared.items() if now_ms - one.at_ms <= SHARED_MS}
        fleet.shared[key] = _Shared(messages, subscription.sent, now_ms)
        return messages

    def _update(self, subscription: Subscription) -> list[str]:
        shown = []
        for vehicle in self._covered(subscription, since=subscription.sent):
            since = subscription.sent
            if subscription.request.bbox:
                was_inside, is_inside = vehicle.ident in subscription.inside, _in_box(subscription, vehicle)
                if not was_inside and not is_inside:
                    continue
                since = since if was_inside else -1
                # One that leaves is shown once more, outside, so that the client sees it go.
                (subscription.inside.add if is_inside else subscription.inside.discard)(vehicle.ident)
            shown.append(vehicle.news(since, subscription.signals))
        events = self._events(subscription, since=subscription.sent)
        self._is_up_to_date(subscription)
        news = [partial for partial in shown if partial is not None]
        return [*([_message("update", subscription, news)] if news else []), *events]

    def _is_up_to_date(self, subscription: Subscription) -> None:
        subscription.sent = self._version
        subscription.fresh = False
        self._fleets[subscription.client.fleet_id].rest(subscription)

    def _covered(self, subscription: Subscription, *, since: int) -> list[LiveVehicle]:
        fleet = self._fleets[subscription.client.fleet_id]
        if subscription.vehicles is not None:
            some = (fleet.by_change.get(ident) for ident in subscription.vehicles)
            return [vehicle for vehicle in some if vehicle is not None and vehicle.version > since]
        found = []
        for vehicle in reversed(fleet.by_change.values()):
            if vehicle.version <= since:
                break
            found.append(vehicle)
        return found

    def _events(self, subscription: Subscription, *, since: int) -> list[str]:
        fleet = self._fleets[subscription.client.fleet_id]
        messages = []
        for event in reversed(fleet.events):
            if event.version <= since:
                break
            heard = subscription.vehicles is None or event.ident in subscription.vehicles
            if heard and (subscription.request.bbox is None or event.ident in subscription.inside):
                messages.append(f'{{"op":"event","id":{subscription.request.id},{event.tail}')
        if fleet.forgotten > since:
            detail = f"more than {EVENTS_KEPT} events came at once; GET /v1/events has them all"
            messages.append(error_message("Events left out", detail, subscription.request.id))
        return messages[::-1]

    def _happen(self, vehicle: LiveVehicle, event: Event) -> None:
        fleet = self._fleets[vehicle.fleet_id]
        key = to_json([vehicle.ident, event.t, event.kind, event.data])
        if key in fleet.event_keys:
            return
        body = to_json({"vehicle": vehicle.ident, "t": event.t, "kind": event.kind, "data": event.data})
        fleet.events.append(_Happened(self._next(), vehicle.ident, key, body.decode()[1:]))
        fleet.event_keys.add(key)
        if len(fleet.events) > EVENTS_KEPT:
            oldest = fleet.events.popleft()
            fleet.event_keys.discard(oldest.key)
            fleet.forgotten = oldest.version
        fleet.notify(vehicle.ident)

    def _absorb(self, vehicle: LiveVehicle, facts: Facts, now_ms: int) -> None:
        if vehicle.absorb(facts, now_ms, version=self._next()):
            self._settle(vehicle)

    def _settle(self, vehicle: LiveVehicle) -> None:
        (self._awake.discard if vehicle.state == "offline" else self._awake.add)(vehicle)
        self._fleets[vehicle.fleet_id].changed(vehicle)

    def _add(self, row: Known) -> LiveVehicle:
        if row.ident in self._vehicles:
            self._remove(row.ident)
        vehicle = LiveVehicle(row.ident, row.name, row.fleet_id, version=self._next())
        self._vehicles[row.ident] = vehicle
        fleet = self._fleets[row.fleet_id]
        fleet.by_change[row.ident] = vehicle
        fleet.changed(vehicle)
        return vehicle

    def _remove(self, ident: str) -> int:
        vehicle = self._vehicles.pop(ident)
        self._awake.discard(vehicle)
        del self._fleets[vehicle.fleet_id].by_change[ident]
        return vehicle.fleet_id

    def _listeners(self, subscription: Subscription) -> list[set[Subscription]]:
        fleet = self._fleets[subscription.client.fleet_id]
        if subscription.vehicles is None:
            return [fleet.to_all]
        return [fleet.to_some[ident] for ident in subscription.vehicles]

    def _next(self) -> int:
        self._version += 1
        return self._version


def _message(op: str, subscription: Subscription, vehicles: Iterable[str | None]) -> str:
    return f'{{"op":"{op}","id":{subscription.request.id},"vehicles":[{",".join(filter(None, vehicles))}]}}'


def _in_box(subscription: Subscription, vehicle: LiveVehicle) -> bool:
    box, position = subscription.request.bbox, vehicle.position
    if box is None:
        return True
    if position is None:
        return False
    west, south, east, north = box
    between = west <= position.lon <= east if west <= east else position.lon >= west or position.lon <= east
    return between and south <= position.lat <= north
