"""Follows what the cloud means: fetches a new campaign, has it checked, and has it applied without a restart."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import structlog

from edge.campaigns.campaign_keeper import CampaignKeeper, Decision, Standing
from edge.ways.transport import CampaignSource

log = structlog.get_logger(__name__)


class CampaignFollower:
    """`apply` is called with what holds, when that or what is said of it has changed."""

    def __init__(self, keeper: CampaignKeeper, source: CampaignSource, apply: Callable[[Standing], None]) -> None:
        self._keeper = keeper
        self._source = source
        self._apply = apply
        self._at_work = asyncio.Lock()

    def start(self) -> None:
        """What holds from the last run, before anything is read. A vehicle that never had a campaign says nothing."""
        standing = self._keeper.start()
        if self._keeper.has_file:
            self._hold(standing)

    async def confirm(self) -> None:
        """The agent has run well with what is active."""
        async with self._at_work:
            await asyncio.to_thread(self._keeper.confirm)

    async def follow(self, etag: str) -> None:
        """What a reply says is meant. What cannot be fetched now is tried again at the next reply."""
        decision = self._keeper.decide(etag)
        if decision == "nothing":
            return
        body = b""
        if decision == "fetch":
            answer = await self._source.fetch_campaign()
            if answer.status != HTTPStatus.OK:
                log.warning("campaign_not_fetched", status=answer.status, problem=answer.problem)
                return
            body = answer.body
        async with self._at_work:
            self._hold(await asyncio.to_thread(self._decided, decision, body))

    def _decided(self, decision: Decision, body: bytes) -> Standing:
        if decision == "fetch":
            return self._keeper.take(body)
        return self._keeper.drop() if decision == "drop" else self._keeper.withdraw()

    def _hold(self, standing: Standing) -> None:
        say = log.error if standing.told["state"] == "refused" else log.info
        say("campaign", **standing.told)
        self._apply(standing)
