"""Many nodes as one relay: an app finds its device on whichever node that is connected to.

The database tells which node holds a device, the bus which nodes are alive, and carries streams between them. A
single process needs neither: its cluster is itself.
"""

import secrets
from collections.abc import Mapping

import msgspec
import structlog

from admittance.errors import DeviceOffline, Malformed, Unavailable
from admittance.server.bus.port import Bus
from admittance.server.clock import Clock
from admittance.server.database import Database
from admittance.server.relay import presence
from admittance.server.relay.arrivals import DeviceArrivals
from admittance.server.relay.link_frames import NODE_ID_BYTES, decode
from admittance.server.relay.links import Link
from admittance.server.relay.membership import Membership
from admittance.server.relay.ports import DevicePort, LocalDevices, Stream, StreamSink
from admittance.wire.relay import CloseReason

ARRIVALS = "arrivals"
_OFFLINE = "The device is not connected."

log = structlog.stdlib.get_logger(__name__)


class Cluster:
    """This node among the others: `Directory` and `Arrivals` to it, and it is `LocalDevices` to the cluster."""

    def __init__(self, *, database: Database, bus: Bus, clock: Clock) -> None:
        self.node_id = secrets.token_hex(NODE_ID_BYTES)
        self._database = database
        self._bus = bus
        self._devices: LocalDevices | None = None
        self._links: dict[str, Link] = {}
        self._arrivals = DeviceArrivals(
            database=database,
            clock=clock,
            node_id=self.node_id,
            is_shared=bus.is_shared,
            arrived_here=self._tell_arrivals,
            superseded=self._end_older,
        )
        self._membership = Membership(
            bus=bus, node_id=self.node_id, joined=self._joined, gone=self._gone, beaten=self._beat
        )

    async def start(self, devices: LocalDevices) -> None:
        """Join the others, on a bus that was started. No device may connect before. Raises `Unavailable`."""
        self._devices = devices
        await self._arrivals.start()
        if self._bus.is_shared:
            await self._bus.subscribe(ARRIVALS, self._hear_arrivals)
            await self._bus.subscribe(_link_to(self.node_id), self._receive)
            await self._membership.start()

    async def close(self) -> None:
        """Leave: streams to and from other nodes end, and nothing is held any more."""
        for link in self._links.values():
            link.close()
        self._links.clear()
        if self._bus.is_shared:
            await self._membership.close()
        await self._arrivals.close()

    async def arrived(self, device_id: str) -> int:
        """See `Arrivals`."""
        return await self._arrivals.arrived(device_id)

    def departed(self, device_id: str, arrival: int) -> None:
        """See `Arrivals`."""
        self._arrivals.departed(device_id, arrival)

    async def find(self, device_id: str) -> DevicePort:
        """The device's port, on this node or another. Raises `DeviceOffline`, or `Unavailable` for want of a bus."""
        here = self._local(device_id)
        if here is not None:
            return here
        node_id = await self.node_of(device_id)
        if node_id is None or node_id == self.node_id:
            raise DeviceOffline(_OFFLINE)
        if not self._membership.hears_itself:
            raise Unavailable("The bus to the device's node is not available now.")
        if not self._membership.may_be_alive(node_id):
            raise DeviceOffline(_OFFLINE)
        return _RemoteDevice(device_id, self._link(node_id))

    async def node_of(self, device_id: str) -> str | None:
        """The id of the node that a device is connected to, None if to none. Raises `Unavailable`."""
        if not self._bus.is_shared:
            return self.node_id if self._local(device_id) is not None else None
        async with self._database.read() as connection:
            return await presence.find_node(connection, device_id)

    def _local(self, device_id: str) -> DevicePort | None:
        return None if self._devices is None else self._devices.port(device_id)

    def _link(self, node_id: str) -> Link:
        link = self._links.get(node_id)
        if link is None:
            subject = _link_to(node_id)
            link = self._links[node_id] = Link(
                own_id=self.node_id,
                peer_id=node_id,
                send=lambda batch: self._bus.publish(subject, batch),
                open_device=self._open_local,
                new_session=lambda: secrets.randbelow(2**32 - 1) + 1,
            )
        return link

    async def _open_local(self, device_id: str, sink: StreamSink) -> Stream:
        port = self._local(device_id)
        if port is None:
            raise DeviceOffline(_OFFLINE)
        return await port.open(sink)

    def _receive(self, data: bytes) -> None:
        try:
            header, frames = decode(data)
        except Malformed:
            log.warning("batch_malformed")
            return
        self._membership.sign_of_life(header.sender)
        self._link(header.sender).receive(header, frames)

    def _joined(self, node_id: str) -> None:
        self._link(node_id).announce()

    def _gone(self, node_id: str) -> None:
        link = self._links.pop(node_id, None)
        if link is not None:
            link.close()

    def _beat(self) -> None:
        for node_id, link in tuple(self._links.items()):
            if link.stream_count == 0 and not self._membership.may_be_alive(node_id):
                del self._links[node_id]
            else:
                link.beat()

    def _tell_arrivals(self, arrivals: Mapping[str, int]) -> None:
        if self._bus.is_shared:
            self._bus.publish(ARRIVALS, msgspec.json.encode(arrivals))

    def _hear_arrivals(self, data: bytes) -> None:
        self._end_older(self._arrivals.older(msgspec.json.decode(data, type=dict[str, int])))

    def _end_older(self, connections: Mapping[str, int]) -> None:
        for device_id, arrival in connections.items():
            if self._devices is not None:
                self._devices.end(device_id, arrival, CloseReason.SUPERSEDED)


class _RemoteDevice:
    """A device that another node holds."""

    def __init__(self, device_id: str, link: Link) -> None:
        self.device_id = device_id
        self._link = link

    async def open(self, sink: StreamSink) -> Stream:
        return await self._link.open(self.device_id, sink)


def _link_to(node_id: str) -> str:
    return f"link.{node_id}"
