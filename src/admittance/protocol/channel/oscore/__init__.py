"""OSCORE (RFC 8613): messages that only the two ends of a security context can read, change or make."""

from admittance.protocol.channel.oscore.algorithms import A128GCM, AES_CCM_16_64_128, Algorithm
from admittance.protocol.channel.oscore.context import SecurityContext, oscore_option
from admittance.protocol.channel.oscore.echo import Challenge, EchoGate, Opened, with_echo
from admittance.protocol.channel.oscore.exchange import Exchange
from admittance.protocol.channel.oscore.replay import ReplayWindow
from admittance.protocol.channel.oscore.sequence import MemorySequence, ReservedSequence, SenderSequence

__all__ = [
    "A128GCM",
    "AES_CCM_16_64_128",
    "Algorithm",
    "Challenge",
    "EchoGate",
    "Exchange",
    "MemorySequence",
    "Opened",
    "ReplayWindow",
    "ReservedSequence",
    "SecurityContext",
    "SenderSequence",
    "oscore_option",
    "with_echo",
]
