"""Admittance: secure onboarding and access for headless IoT devices."""

__version__ = "0.1.0"
