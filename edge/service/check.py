"""Try everything that the agent needs: bus, databases, GPS, clock, disk, uplink. Nothing is stored or sent."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Final

from edge.agent_plan import plan_agent, read_token_file
from edge.buses.bus_watch import BusWatch
from edge.buses.open_bus import open_bus
from edge.clock.kernel_clock import KernelClock, is_synchronised
from edge.config import CanSettings, EdgeConfig, GpsSettings, WaySettings
from edge.dbc import load_database
from edge.decoder import SignalTable
from edge.errors import EdgeError, UplinkError
from edge.fix_signals import FixSignals
from edge.frame_source import REPLAY, FrameSource, ReaderError
from edge.gps import GpsReader
from edge.service.check_system import check_clock, check_disk
from edge.service.check_uplink import check_broker, check_uplink
from edge.service.finding import Finding, note, ok, problem
from edge.ways.tls import tls_context
from edge.ways.uplink_way import is_interface_up, open_transport

LISTEN_S: Final = 5.0


async def check_all(config: EdgeConfig, *, listen_s: float = LISTEN_S) -> AsyncIterator[Finding]:
    """One finding after the other. The agent itself should not run meanwhile: a serial port has one reader."""
    try:
        plan = plan_agent(config)
    except EdgeError as error:
        yield problem("settings", str(error), "correct this first; nothing else was tried")
        return
    signals = sum(len(bus.signal_names) for bus in plan.buses)
    yield ok("settings", f"vehicle {config.vehicle}, {len(plan.buses)} buses with {signals:,} signals")
    for finding in await _listen(config, listen_s):
        yield finding
    yield check_clock(
        datetime.now(UTC),
        synchronised=is_synchronised(),
        trust=config.clock_trust,
        keeps_time=KernelClock().keeps_time,
    )
    for finding in await asyncio.to_thread(check_disk, config.spool.path, max_bytes=config.spool.max_bytes):
        yield finding
    for way in config.uplink.ways():
        for finding in await _check_way(way, config.vehicle):
            yield finding


async def _check_way(way: WaySettings, vehicle: str) -> list[Finding]:
    if way.interface is not None and not is_interface_up(way.interface):
        advice = "this way is left out while it is down: bring it up, or correct the name (ip link)"
        return [note("uplink", f"{way.name}: the interface {way.interface} is down or not there", advice)]
    try:
        if way.is_mqtt:
            async with open_transport(way, vehicle=vehicle) as transport:
                return [await check_broker(way.url, transport)]
        tls = tls_context(way)
    except UplinkError as error:
        return [problem("uplink", str(error), "correct the certificates")]
    return await check_uplink(way.url, lambda: read_token_file(way.token_file), now=lambda: datetime.now(UTC), tls=tls)


async def _listen(config: EdgeConfig, seconds: float) -> list[Finding]:
    """To all buses and the receiver at once."""
    table = SignalTable()
    databases = [[load_database(path, strict=bus.strict) for path in bus.dbc] for bus in config.can]
    names = config.gps.can.model_dump(exclude_none=True) if config.gps is not None and config.gps.can else None
    fixes = FixSignals(names, table.signals) if names else None
    watches = [
        BusWatch(
            loaded,
            what=f"bus {_name(bus)}",
            bus=bus.name,
            table=table,
            fixes=fixes,
            protocols=bus.protocols,
            polls=bus.poll is not None,
        )
        for bus, loaded in zip(config.can, databases, strict=True)
    ]
    async with asyncio.TaskGroup() as tasks:
        listening = [
            tasks.create_task(_listen_to_bus(bus, watch, seconds), name=f"listen {_name(bus)}")
            for bus, watch in zip(config.can, watches, strict=True)
        ]
        if config.gps is not None and config.gps.device is not None:
            listening.append(tasks.create_task(_listen_to_gps(config.gps, config.gps.device, seconds), name="gps"))
    found = [finding for task in listening for finding in task.result()]
    if fixes is not None:
        found.append(_judge_fix_signals(fixes, sum(watch.fixes for watch in watches)))
    return found


async def _listen_to_bus(bus: CanSettings, watch: BusWatch, seconds: float) -> list[Finding]:
    what = f"bus {_name(bus)}"
    paced = bus.model_copy(update={"speed": bus.speed or 1.0})  # at its fastest a replay tells nothing of time
    try:
        async with open_bus(paced) as source:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await _take_all(source, watch)
            watch.take(await source.rest(), time.time_ns())
            return watch.findings(source.counts, seconds=seconds)
    except ReaderError as error:
        return [problem(what, error.problem, "correct this [[can]] section, or bring the interface up")]
    except EdgeError as error:
        return [problem(what, str(error), "name another recording")]


async def _take_all(source: FrameSource, watch: BusWatch) -> None:
    async for frames in source:
        watch.take(frames, time.time_ns())
        await asyncio.sleep(0)


async def _listen_to_gps(settings: GpsSettings, device: str, seconds: float) -> list[Finding]:
    reader = GpsReader(device, baud=settings.baud)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), aclosing(aiter(reader)) as fixes:
            async for _ in fixes:
                pass
    return [_judge_gps(reader, device, seconds)]


def _judge_gps(reader: GpsReader, device: str, seconds: float) -> Finding:
    counts, nmea = reader.counts, reader.nmea
    if not counts.opened:
        advice = (
            "is it plugged in, is the name right, is the agent's user in the group dialout? ls -l /dev/serial/by-id"
        )
        return problem("gps", f"{device}: {counts.last_error or 'does not answer'}", advice)
    if counts.fixes:
        return ok("gps", f"{counts.fixes} fixes in {seconds:g} s from {device}")
    heard = nmea.sentences
    garbled = nmea.bad_checksum + nmea.broken
    if device.startswith("gpsd:") or heard > garbled:
        return note(
            "gps", f"{device} is there and has no fix yet", "give the antenna a view of the sky, and some minutes"
        )
    if garbled:
        return problem("gps", f"{device}: {garbled} garbled sentences", "look at [gps] baud")
    return problem("gps", f"{device}: not one sentence in {seconds:g} s", "look at [gps] baud and at the wiring of TX")


def _judge_fix_signals(signals: FixSignals, fixes: int) -> Finding:
    if fixes:
        return ok("gps", f"{fixes} fixes from signals")
    counts = signals.counts
    if counts.not_valid or counts.incomplete or counts.implausible:
        return note("gps", f"positions on the bus, none valid ({counts.not_valid} say so)", "give it a view of the sky")
    return problem("gps", "no position on any bus", "look at [gps] can: are these the signals, and are they sent?")


def _name(bus: CanSettings) -> str:
    if bus.name is not None or isinstance(bus.channel, str):
        return bus.name or str(bus.channel)
    return bus.channel[0].rpartition("/")[2] if bus.interface == REPLAY else bus.channel[0]
