"""The integrity service: a program of its own that tells untampered apps from others."""
