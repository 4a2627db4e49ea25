"""A way on which whole CoAP messages go to one device and come back."""

from typing import Protocol

from admittance.wire.coap.message import CoapMessage


class Link(Protocol):
    """One open connection. One task receives; any number may send."""

    @property
    def datagrams(self) -> bool:
        """Whether messages travel as datagrams, which hold little."""

    async def send(self, message: CoapMessage) -> None:
        """Send a message; returns once the other side keeps up. Raises an `AdmittanceError` when the link ended."""

    async def receive(self) -> CoapMessage:
        """Wait for the next message. Raises the `AdmittanceError` that says why the link ended."""

    async def close(self) -> None:
        """End the link. Raises nothing."""


class Way(Protocol):
    """How to open links to one device."""

    async def open(self) -> Link:
        """Raises an `AdmittanceError` whose message names cause and next step."""
