"""What a device is there for: resources that apps talk to, in a few lines (see docs/how-to)."""

from admittance.device.applications.application import Application, Host
from admittance.device.applications.content import Content
from admittance.device.applications.request import Caller, Method, Request

__all__ = ["Application", "Caller", "Content", "Host", "Method", "Request"]
