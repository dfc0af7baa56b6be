"""The protocol between spool, Redis and ledger, explored before any process is killed for real.

The vehicle's half (`edge.delivery`), the queue (`cloud.streams.shard_queue`) and the ledger (`wire.ledger`) are the
very state machines that the real programs use; only disk, network and database rows are modelled here. Hypothesis
kills, wipes, reorders, duplicates, restores old images and backups, clones cards and wakes zombies, in any order.

`FLEETWIRE_MODEL_EXAMPLES` sets how many histories are tried.
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from cloud.ingest.admission import news
from cloud.streams.shard_queue import QueueEntry, ShardQueue
from edge.delivery import Delivery, Key, Outcome, StreamOnDisk
from wire.envelope import BatchRef, Rejected, Reply, StreamClaim
from wire.ledger import StreamLedger
from wire.ranges import EMPTY, RangeSet

VEHICLE = "truck-1"
GOOD, POISON, INVALID = "good", "poison", "invalid"


@dataclass
class DiskStream:
    next: int = 0
    held: RangeSet = EMPTY
    done: RangeSet = EMPTY
    evicted: RangeSet = EMPTY
    lost: dict[str, RangeSet] = field(default_factory=dict)
    urgent: RangeSet = EMPTY
    withheld: RangeSet = EMPTY
    is_overtaken: bool = False


@dataclass
class Disk:
    """A card's durable content. Copying it is what an image does."""

    streams: dict[str, DiskStream] = field(default_factory=dict)
    content: dict[Key, str] = field(default_factory=dict)
    epoch: str | None = None

    def opened(self) -> Delivery:
        return Delivery(
            (
                StreamOnDisk(
                    name,
                    stream.next,
                    stream.held,
                    stream.done,
                    stream.evicted,
                    dict(stream.lost),
                    stream.urgent,
                    stream.withheld,
                    stream.is_overtaken,
                )
                for name, stream in self.streams.items()
            ),
            epoch=self.epoch,
        )

    def write_down(self, outcome: Outcome, epoch: str | None) -> None:
        self.epoch = epoch
        for name, seqs in outcome.reopened.items():
            self.streams[name].done = self.streams[name].done - seqs
        for name, seqs in outcome.done.items():
            self.streams[name].done = self.streams[name].done | seqs
        for name, seq, _ in outcome.rejected:
            self.streams[name].held = self.streams[name].held - RangeSet.of([seq])
        for name, seqs, cause in outcome.lost:
            self.declare(name, seqs, cause)
        for name, following, head in outcome.overtaken:
            assert not self.streams[name].is_overtaken
            assert self.streams[name].next == following <= head
            self.streams[name].is_overtaken = True
        for name in outcome.forgotten:
            del self.streams[name]

    def declare(self, name: str, seqs: RangeSet, cause: str) -> None:
        lost = self.streams[name].lost
        lost[cause] = lost.get(cause, EMPTY) | seqs


class Agent:
    """A running agent: its disk, and what it holds in memory."""

    def __init__(self, disk: Disk, stream: str) -> None:
        self.disk = disk
        self.boot(stream)

    def boot(self, stream: str) -> None:
        self.delivery = self.disk.opened()
        self.stream = stream
        self.disk.streams[stream] = DiskStream()
        self.delivery.opened(stream)

    def record(self, content: str, *, urgent: bool = False, withheld: bool = False) -> Key:
        stream = self.disk.streams[self.stream]
        seq = stream.next
        stream.next += 1
        stream.held = stream.held | RangeSet.of([seq])
        self.disk.content[self.stream, seq] = content
        if urgent:
            stream.urgent = stream.urgent | RangeSet.of([seq])
        if withheld:
            stream.withheld = stream.withheld | RangeSet.of([seq])
        self.delivery.stored(self.stream, seq, urgent=urgent, withheld=withheld)
        return self.stream, seq

    def release(self, label: str) -> Iterator[tuple[Key, str]]:
        """Freeze what is withheld, with its true times; durable before the delivery hears of it."""
        for name, stream in self.disk.streams.items():
            seqs, stream.withheld = stream.withheld, EMPTY
            for seq in (seqs & stream.held).numbers():
                self.disk.content[name, seq] += label
                yield (name, seq), self.disk.content[name, seq]
            self.delivery.released(name, seqs)

    def evict(self, name: str, seqs: RangeSet) -> None:
        stream = self.disk.streams[name]
        stream.held = stream.held - seqs
        stream.done = stream.done - seqs
        stream.evicted = stream.evicted | seqs
        self.disk.declare(name, self.delivery.evicted(name, seqs), "evicted")


@dataclass
class Database:
    ledgers: dict[str, StreamLedger] = field(default_factory=dict)
    rows: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    dead_letters: set[Key] = field(default_factory=set)
    declared: set[Key] = field(default_factory=set)

    def commit(self, group: list[QueueEntry[Any]]) -> None:
        """One transaction of the writer."""
        for entry in group:
            if entry.key is None:
                for claim in entry.payload:
                    self._declare(claim)
                continue
            _, stream, seq = entry.key
            ledger = self.ledgers.get(stream, StreamLedger())
            fresh = ledger.fresh([seq])
            if fresh and entry.payload.startswith(POISON):
                self.dead_letters.add((stream, seq))
                self.ledgers[stream] = ledger.bury(fresh)
            elif fresh:
                self.rows[stream, seq, entry.payload] += 1
                self.ledgers[stream] = ledger.store(fresh)

    def _declare(self, claim: StreamClaim) -> None:
        ledger = self.ledgers.get(claim.stream, StreamLedger())
        self.declared |= {(claim.stream, seq) for seq in ledger.newly_lost(claim).numbers()}
        self.ledgers[claim.stream] = ledger.declare(claim)


class Protocol(RuleBasedStateMachine):
    agents = Bundle("agents")
    images = Bundle("images")
    groups = Bundle("groups")

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.drawn = 0
        self.queue: ShardQueue[Any] = ShardQueue(id=self.draw("bus"))
        self.database = Database()
        self.epoch = self.draw("epoch")
        self.backup: Database | None = None
        self.database_up = True
        self.running: list[Agent] = []
        self.recorded: dict[Key, set[str]] = {}
        """What a batch may be in the database: two images that are released apart give two, of which one arrives."""

    def draw(self, kind: str) -> str:
        self.drawn += 1
        return f"{kind}-{self.drawn:04d}"

    def draw_stream(self) -> str:
        self.drawn += 1
        return f"00000000-0000-7000-8000-{self.drawn:012x}"

    def start(self, disk: Disk) -> Agent:
        agent = Agent(disk, self.draw_stream())
        self.running.append(agent)
        return agent

    @initialize(target=agents)
    def first_agent(self) -> Agent:
        return self.start(Disk())

    # What happens in the vehicle

    @rule(
        agent=agents,
        count=st.integers(1, 4),
        kind=st.sampled_from([GOOD, GOOD, GOOD, GOOD, POISON, INVALID]),
        urgent=st.booleans(),
        withheld=st.sampled_from([False, False, True]),
    )
    def record(self, agent: Agent, count: int, kind: str, urgent: bool, withheld: bool) -> None:
        for _ in range(count):
            content = f"{kind}-{self.draw('content')}"
            key = agent.record(content, urgent=urgent, withheld=withheld)
            self.recorded[key] = set() if withheld else {content}

    @rule(agent=agents)
    def clock_becomes_trusted(self, agent: Agent) -> None:
        for key, content in agent.release(f"-{self.draw('label')}"):
            self.recorded[key].add(content)

    @rule(agent=agents)
    def kill_agent(self, agent: Agent) -> None:
        agent.boot(self.draw_stream())

    @rule(agent=agents, keep=st.integers(0, 3))
    def evict(self, agent: Agent, keep: int) -> None:
        for name, stream in agent.disk.streams.items():
            oldest = RangeSet.of(list(stream.held.numbers())[: max(len(stream.held) - keep, 0)])
            if oldest:
                agent.evict(name, oldest)

    @rule(agent=agents, choice=st.integers(0, 10))
    def flash_forgets_a_row(self, agent: Agent, choice: int) -> None:
        held = [(name, seq) for name, stream in agent.disk.streams.items() for seq in stream.held.numbers()]
        if held:
            name, seq = held[choice % len(held)]
            stream = agent.disk.streams[name]
            stream.held = stream.held - RangeSet.of([seq])
            stream.done = stream.done - RangeSet.of([seq])
        agent.boot(self.draw_stream())

    @rule(target=images, agent=agents)
    def take_image(self, agent: Agent) -> Disk:
        return copy.deepcopy(agent.disk)

    @rule(agent=agents, image=images)
    def restore_image(self, agent: Agent, image: Disk) -> None:
        agent.disk = copy.deepcopy(image)
        agent.boot(self.draw_stream())

    @rule(target=agents, image=images)
    def clone(self, image: Disk) -> Any:
        return self.start(copy.deepcopy(image)) if len(self.running) < 3 else multiple()

    # What happens on the way

    @rule(seconds=st.sampled_from([1.0, 6.0, 61.0, 4000.0]))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(
        agent=agents,
        limit=st.integers(1, 5),
        fate=st.sampled_from(["arrives", "arrives", "request lost", "reply lost", "twice"]),
    )
    def send(self, agent: Agent, limit: int, fate: str) -> None:
        plan = agent.delivery.plan(self.now_s, limit=limit)
        assert not any(seq in agent.disk.streams[name].withheld for name, seq in plan.batches)
        assert len(set(plan.batches)) == len(plan.batches) <= limit
        urgent = [seq in agent.disk.streams[name].urgent for name, seq in plan.batches]
        assert urgent == sorted(urgent, reverse=True)
        assert bool(plan.batches) == (agent.delivery.seconds_until_due(self.now_s) == 0)
        if fate == "request lost":
            return
        reply = self.ingest(plan.batches, plan.claims, agent.disk)
        if fate == "twice":
            reply = self.ingest(plan.batches, plan.claims, agent.disk)
        if fate == "reply lost":
            return
        outcome = agent.delivery.replied(plan, Reply.model_validate_json(reply.model_dump_json()), self.now_s)
        agent.disk.write_down(outcome, agent.delivery.epoch)

    def ingest(self, batches: tuple[Key, ...], claims: tuple[StreamClaim, ...], disk: Disk) -> Reply:
        accepted, rejected = [], []
        for index, (stream, seq) in enumerate(batches):
            content = disk.content[stream, seq]
            if content.startswith(INVALID):
                rejected.append(Rejected.model_construct(index=index, problem="invalid", stream=stream, seq=seq))
                continue
            self.queue.add((VEHICLE, stream, seq), content)
            accepted.append(BatchRef.model_construct(stream=stream, seq=seq))
        ledgers = self.database.ledgers
        # Without the database nobody can tell what is news: all of it is queued.
        declarations = news(claims, ledgers) if self.database_up else claims
        if declarations:
            self.queue.add(None, declarations)
        views = [ledgers.get(claim.stream, StreamLedger()).view(claim.stream) for claim in claims]
        return Reply.model_construct(
            accepted=tuple(accepted),
            rejected=tuple(rejected),
            settled=tuple(views) if self.database_up else (),
            bus=self.queue.id,
            epoch=self.epoch if self.database_up else None,
        )

    @rule()
    def wipe_redis(self) -> None:
        self.queue.wipe(self.draw("bus"))

    @rule()
    def redis_forgets_the_last_second(self) -> None:
        """A power cut under `appendfsync everysec`: the newest entry is gone, and the bus keeps its id."""
        if self.queue.entries:
            self.queue.done([max(self.queue.entries)])

    # What happens at the database

    @rule(target=groups, count=st.integers(1, 5))
    def writer_reads(self, count: int) -> list[QueueEntry[Any]]:
        return self.queue.read(count)

    @rule(target=groups)
    def writer_takes_over(self) -> list[QueueEntry[Any]]:
        return self.queue.pending()

    @rule(group=groups, finishes=st.booleans())
    def writer_commits(self, group: list[QueueEntry[Any]], finishes: bool) -> None:
        """Any group at any time and as often as it likes: late ones are zombies."""
        if self.database_up:
            self.database.commit(group)
            if finishes:
                self.queue.done(entry.id for entry in group)

    @rule(up=st.booleans())
    def database_goes_up_or_down(self, up: bool) -> None:
        self.database_up = up

    @rule()
    def back_up(self) -> None:
        self.backup = copy.deepcopy(self.database)

    @rule()
    def restore_backup(self) -> None:
        if self.backup is not None:
            self.database = copy.deepcopy(self.backup)
            self.epoch = self.draw("epoch")

    @rule(rounds=st.integers(1, 3))
    def all_is_well_for_a_while(self, rounds: int) -> None:
        """Reaches the deep states, in which much is settled, before the next blow."""
        self.database_up = True
        for _ in range(rounds):
            self.round()

    def round(self) -> None:
        self.now_s += 4000.0
        for agent in self.running:
            self.send(agent, 50, "arrives")
        group = [*self.queue.pending(), *self.queue.read(1000)]
        self.database.commit(group)
        self.queue.done(entry.id for entry in group)

    # What must always hold

    @invariant()
    def nothing_is_there_twice(self) -> None:
        assert all(count == 1 for count in self.database.rows.values())
        stored = Counter((stream, seq) for stream, seq, _ in self.database.rows)
        assert all(count == 1 for count in stored.values())

    @invariant()
    def what_is_stored_is_what_was_recorded(self) -> None:
        assert all(content in self.recorded[stream, seq] for stream, seq, content in self.database.rows)

    @invariant()
    def nothing_settled_is_absent(self) -> None:
        stored = {(stream, seq) for stream, seq, _ in self.database.rows}
        for name, ledger in self.database.ledgers.items():
            assert {(name, seq) for seq in ledger.received.numbers()} == {key for key in stored if key[0] == name}
            assert all((name, seq) in self.database.dead_letters for seq in ledger.dead.numbers())
            assert all((name, seq) in self.database.declared for seq in ledger.lost.numbers())
            assert not ledger.received & ledger.dead
            assert not (ledger.received | ledger.dead) & ledger.lost
            assert ledger.settled.head < ledger.next

    @invariant()
    def nothing_is_called_done_that_is_not_settled(self) -> None:
        for agent in self.running:
            if agent.disk.epoch == self.epoch:
                for name, stream in agent.disk.streams.items():
                    assert not stream.done - self.database.ledgers.get(name, StreamLedger()).settled

    # Where it all ends once everything works again

    def teardown(self) -> None:
        self.database_up = True
        for agent in self.running:
            self.clock_becomes_trusted(agent)
        for _ in range(60):
            self.round()
            if not self.queue.entries and all(agent.delivery.owes_nothing for agent in self.running):
                break
        self.nothing_is_there_twice()
        self.what_is_stored_is_what_was_recorded()
        self.nothing_settled_is_absent()
        self.nothing_is_called_done_that_is_not_settled()
        for agent in self.running:
            assert agent.delivery.owes_nothing
            assert agent.delivery.unsettled == 0
            for name, stream in agent.disk.streams.items():
                settled = self.database.ledgers.get(name, StreamLedger()).settled
                if stream.held or not stream.evicted:
                    assert not settled.gaps(stream.next), (name, stream, settled)
                assert not stream.held - settled


Protocol.TestCase.settings = settings(
    max_examples=int(os.environ.get("FLEETWIRE_MODEL_EXAMPLES", "600")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestProtocol = Protocol.TestCase
