"""The limits that a relay node keeps to, from the configuration."""

from dataclasses import dataclass

from admittance.protocol.relay.limits import Allowance
from admittance.server.config import Config

AUTHENTICATION_TIMEOUT_S = 10
"""How long a connection may take from its first byte of WebSocket to its proof, and the node to check that."""

FAREWELL_S = 5
"""How long a device whose access ended stays to be told so."""

CLOSE_TIMEOUT_S = 2
"""How long the other side may take to answer a close."""

MAX_BLOCKED_BYTES = 2 * 1024 * 1024
"""What may wait for a device that takes nothing."""

MAX_PENDING_BYTES = 256 * 1024
"""What may have come from an app before its connection was paused."""


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`sweep_s`: connections are looked at that often; three silent looks end one. `idle_sweeps` likewise for streams
    that carry nothing. `origin` is the only one that a browser's page may have."""

    origin: str
    max_connections: int
    max_half_open: int
    max_half_open_per_source: int
    max_streams_per_device: int
    max_streams_per_account: int
    app_allowance: Allowance
    device_allowance: Allowance
    sweep_s: int
    idle_sweeps: int
    drain_s: int

    @classmethod
    def of(cls, config: Config) -> "RelaySettings":
        relay = config.relay
        sweep_s = relay.silence_s // 3
        return cls(
            origin=config.server.origin,
            max_connections=relay.max_connections,
            max_half_open=relay.max_half_open,
            max_half_open_per_source=relay.max_half_open_per_source,
            max_streams_per_device=relay.max_streams_per_device,
            max_streams_per_account=relay.max_streams_per_account,
            app_allowance=Allowance(relay.app_frames_per_s, relay.app_bytes_per_s),
            device_allowance=Allowance(relay.device_frames_per_s, relay.device_bytes_per_s),
            sweep_s=sweep_s,
            idle_sweeps=max(1, relay.idle_s // sweep_s),
            drain_s=relay.drain_s,
        )
