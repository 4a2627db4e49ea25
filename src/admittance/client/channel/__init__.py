"""Talking to a device end to end: through the relay, which can read nothing, or over the local network."""
