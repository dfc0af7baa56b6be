"""fleetwire edge check --campaign: whether a campaign is good for this vehicle, and what it would bring."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from edge.agent_plan import known_names, plan_agent
from edge.campaigns.forecast import Forecast, foretell
from edge.campaigns.selection import idle_rules, select
from edge.config import EdgeConfig
from fleetwire.campaign_file import load_campaign
from fleetwire.recordings_by_bus import as_replay, by_bus


def check_campaign(
    config: EdgeConfig, file: Path | None, recordings: Sequence[str], *, hours_per_day: float, as_json: bool
) -> None:
    """Prints what is to be expected. Raises EdgeError for a campaign that this vehicle refuses, or ClickException."""
    campaign = None if file is None else load_campaign(file)
    idle: list[str] = []
    if campaign is not None:
        plan = plan_agent(config)
        known = known_names(plan)
        select(campaign, known, can_capture=plan.pipeline.ring is not None)
        idle = idle_rules(campaign, known)
    chosen = by_bus(config, recordings)
    then = now = None
    if chosen:
        buses = tuple(as_replay(config.can[index], files) for index, files in sorted(chosen.items()))
        played = config.model_copy(update={"can": buses})
        now = asyncio.run(foretell(played, None))
        then = now if campaign is None else asyncio.run(foretell(played, campaign))
    name = "the agent's own file" if campaign is None else f"{campaign.id} {campaign.version}"
    if as_json:
        click.echo(json.dumps(_plain(name, idle, then, now, hours_per_day), indent=1))
    else:
        click.echo("\n".join(_lines(name, idle, then, now, hours_per_day)))


def _plain(
    name: str, idle: Sequence[str], then: Forecast | None, now: Forecast | None, hours_per_day: float
) -> dict[str, object]:
    def shown(forecast: Forecast | None) -> dict[str, object] | None:
        if forecast is None:
            return None
        return {
            **asdict(forecast),
            "samples_per_s": round(forecast.samples_per_s, 3),
            "mb_per_month": round(forecast.mb_per_month(forecast.bytes, hours_per_day=hours_per_day), 3),
        }

    return {
        "campaign": name,
        "ok": True,
        "idle": list(idle),
        "hours_per_day": hours_per_day,
        "forecast": shown(then),
        "own_file": shown(now),
    }


def _lines(
    name: str, idle: Sequence[str], then: Forecast | None, now: Forecast | None, hours_per_day: float
) -> Iterator[str]:
    yield f"{name}: good for this vehicle"
    for pattern in idle:
        yield f"note      the rule for {pattern!r} matches no signal here: of another model, or misspelt?"
    if then is None or now is None:
        yield "next      --replay [BUS=]LOG foretells what it brings"
        return

    def monthly(forecast: Forecast, count: int) -> str:
        return f"{forecast.mb_per_month(count, hours_per_day=hours_per_day):,.1f} MB"

    yield f"recording {then.frames:,} frames in {then.seconds:,.0f} s, {then.seen:,} samples seen"
    than = "" if then is now else f"; the agent's own file: {now.samples_per_s:,.1f}"
    yield f"samples   {then.samples_per_s:,.1f} a second{than}"
    than = "" if then is now else f"; the agent's own file: {monthly(now, now.bytes)}"
    of_captures = f", of it captures {monthly(then, then.frame_bytes)}" if then.captured_frames else ""
    yield f"data      {monthly(then, then.bytes)} a month at {hours_per_day:g} h a day{of_captures}{than}"
    yield f"          {then.bytes / max(then.samples, 1):.1f} bytes a sample, in {then.requests:,} requests"
    if then is not now:
        taken = ", ".join(f"{capture} {count:,} times" for capture, count in then.captures.items()) or "none"
        missed = ", ".join(f"{count:,} {cause.replace('_', ' ')}" for cause, count in then.not_taken.items())
        yield f"captures  {taken}, {then.captured_frames:,} frames{f'; not taken: {missed}' if missed else ''}"
