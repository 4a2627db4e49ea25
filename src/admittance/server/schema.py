"""Every table of the server: importing this module fills `metadata`."""

from importlib import import_module
from importlib.util import find_spec

from admittance.server.database import metadata

for _package in ("accounts", "activation", "audit", "devices", "enrolment", "mail"):
    if find_spec(f"admittance.server.{_package}.store"):
        import_module(f"admittance.server.{_package}.store")

__all__ = ["metadata"]
