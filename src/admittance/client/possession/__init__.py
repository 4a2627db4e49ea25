"""Possession keys that this app holds, and channels to devices by them (see `docs/protocol/possession.md`)."""
