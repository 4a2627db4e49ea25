"""A terminal as display."""

from typing import TextIO

from admittance.device.display.bitmap import qr_code


class TerminalDisplay:
    """Draws each QR code below the one before."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def show(self, text: str) -> None:
        qr_code(text).terminal(out=self._output, border=2, compact=True)
        self._output.flush()

    def clear(self) -> None:
        self._output.write("The possession code is no longer shown.\n")
        self._output.flush()
