"""Putting the conversations with devices together for the composition roots, and readings, which come over them."""

import os
import time
from dataclasses import dataclass

from admittance.protocol.channel.edhoc import ChannelKey
from admittance.server.bus.port import Bus
from admittance.server.conversation.calls import WAKE
from admittance.server.conversation.service import ConversationService
from admittance.server.foundation import Foundation
from admittance.server.readings.resources import resources
from admittance.server.readings.service import ReadingsService


@dataclass(frozen=True)
class ConversationServices:
    """`conversations` wants `start` once the bus has started, and `close` before it is closed."""

    conversations: ConversationService
    readings: ReadingsService


def build(foundation: Foundation, bus: Bus, node_id: str) -> ConversationServices:
    """The conversations of one relay node, and the readings service that every process may have."""
    readings = ReadingsService(
        database=foundation.database,
        audit=foundation.audit_log,
        clock=foundation.clock,
        on_consent=lambda device_id: bus.publish(WAKE, device_id.encode()),
    )
    conversations = ConversationService(
        node_id=node_id,
        database=foundation.database,
        bus=bus,
        key=ChannelKey(foundation.keystore.channel_key),
        resources=resources(readings, foundation.clock, time.monotonic),
        wants_readings=readings.wants_readings,
        randomness=os.urandom,
    )
    return ConversationServices(conversations, readings)
