"""Opening a channel on the first way that leads to a device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from admittance.client.channel.link import Way
from admittance.client.channel.session import Session
from admittance.errors import AdmittanceError, NetworkFailure, RelayBusy, Unavailable
from admittance.protocol.channel.channel import Channel


@dataclass(frozen=True)
class WaysOpener:
    """`make` gives the channel's machine, for datagrams or not; `opened` is called after each success. `refused`
    tells people why the device may have refused, and the next step."""

    ways: Sequence[Way]
    make: Callable[[bool], Channel]
    refused: str
    opened: Callable[[], None] = lambda: None

    async def __call__(self) -> Session:
        """Raises why no way led to the device."""
        failure: AdmittanceError | None = None
        for way in self.ways:
            try:
                return await self._open(way)
            except RelayBusy:
                raise
            except (NetworkFailure, Unavailable) as error:
                failure = failure or error
        raise failure or Unavailable("There is no way to the device.")

    async def _open(self, way: Way) -> Session:
        link = await way.open()
        session = await Session.open(link, self.make(link.datagrams), self.refused)
        self.opened()
        return session
