"""The display of a device, as the agent sees it."""

from typing import Protocol


class Display(Protocol):
    """Shows one QR code at a time."""

    def show(self, text: str) -> None:
        """Show `text` as a QR code in place of what was shown. The text is a secret: it goes to the display alone."""

    def clear(self) -> None:
        """Show nothing."""


class NoDisplay:
    """The display of a device that has none."""

    def show(self, text: str) -> None:
        """Show nothing."""

    def clear(self) -> None:
        """There is nothing to clear."""
