"""Ingress and the control API in this process, on a real Kafka."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from deploy.processes.control import ControlServer
from deploy.processes.ingress import IngressServer
from deploy.settings import Settings
from schemas.settings.channel import ChannelSettings
from schemas.settings.channels_file import ChannelsFile


class Servers:
    """Both, running inside `async with`. channels: saved first. Port 0: any free one."""

    def __init__(
        self, settings: Settings, *, channels: ChannelsFile | None = None, port: int = 0, control_port: int = 0
    ) -> None:
        self.ingress = IngressServer(settings, port=port)
        self.control = ControlServer(settings, channels=channels, port=control_port)
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        return self.ingress.url

    @property
    def control_url(self) -> str:
        return self.control.url

    @property
    def headers(self) -> Mapping[str, str]:
        return self.control.headers

    @property
    def channels(self) -> list[ChannelSettings]:
        return self.control.channels

    async def save(self, channels: ChannelsFile) -> None:
        await self.control.save(channels)

    def webhook_url(self, channel: ChannelSettings) -> str:
        return self.ingress.webhook_url(channel)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.ingress)
            await stack.enter_async_context(self.control)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()
