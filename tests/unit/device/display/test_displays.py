import io
from pathlib import Path

import pytest
from PIL import Image

from admittance.client.scan import read_picture
from admittance.device.display.bitmap import MIN_PIXELS_PER_MODULE, QUIET_MODULES, qr_bitmap, qr_code
from admittance.device.display.png import PngDisplay
from admittance.device.display.port import Display, NoDisplay
from admittance.device.display.terminal import TerminalDisplay
from admittance.errors import Malformed
from admittance.wire.possession_qr import PossessionQr, encode

STOCK = encode(PossessionQr("PROV_ABCDEF", "9BTMPEBJV2X5VKY4", "N161SX66Y0KZD0C97AXWNV21F7HVZZ49", "p" * 63))
URL = encode(
    PossessionQr(
        "PROV_ABCDEF",
        "9BTMPEBJV2X5VKY4",
        "N161SX66Y0KZD0C97AXWNV21F7HVZZ49",
        "p" * 63,
        origin="https://admittance.example.org:8443",
    )
)


def scanned(path: Path) -> str:
    with Image.open(path) as image:
        assert (image.size, image.mode) == ((200, 200), "1")
    return read_picture(path)


@pytest.mark.parametrize("text", [STOCK, URL])
def test_a_phone_reads_the_code_from_a_200_pixel_screen(tmp_path: Path, text: str) -> None:
    path = tmp_path / "screen.png"
    PngDisplay(path).show(text)
    assert scanned(path) == text


@pytest.mark.parametrize("text", [STOCK, URL])
def test_modules_have_two_pixels_and_a_quiet_zone(text: str) -> None:
    bitmap = qr_bitmap(text)
    assert len(bitmap.rows) == bitmap.stride * 200
    quiet = QUIET_MODULES * MIN_PIXELS_PER_MODULE
    rows = [bitmap.rows[i : i + bitmap.stride] for i in range(0, len(bitmap.rows), bitmap.stride)]
    assert not any(b"".join(rows[:quiet] + rows[-quiet:]))
    assert not any(row[0] for row in rows)
    assert 200 // (len(qr_code(text).matrix) + 2 * QUIET_MODULES) >= MIN_PIXELS_PER_MODULE


def test_a_text_that_no_phone_could_read_is_refused() -> None:
    with pytest.raises(Malformed, match="too long"):
        qr_bitmap("x" * 1200)


def test_the_picture_is_replaced_and_cleared(tmp_path: Path) -> None:
    path = tmp_path / "screen.png"
    display = PngDisplay(path)
    display.show("one")
    display.show("two")
    assert scanned(path) == "two"
    display.clear()
    with pytest.raises(Malformed, match="no QR code"):
        scanned(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["screen.png"]


def test_the_terminal_shows_a_code_as_blocks() -> None:
    output = io.StringIO()
    display = TerminalDisplay(output)
    display.show(STOCK)
    assert "█" in output.getvalue() or "▀" in output.getvalue()
    assert "N161SX66" not in output.getvalue()
    display.clear()
    assert "no longer" in output.getvalue()


def test_a_device_without_display_shows_nothing() -> None:
    display: Display = NoDisplay()
    display.show(STOCK)
    display.clear()
