from pathlib import Path

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from admittance.client import scan
from admittance.errors import Malformed
from admittance.wire import possession_qr
from admittance.wire.possession_qr import PossessionQr
from admittance.wire.setup_code import SetupCode

SETUP = SetupCode("https://localhost:8443", "ADAAAAAAAAAAAAAAAAAAAA")
STOCK = PossessionQr(name="PROV_ABCDEF", username="ID", pop="CODE", password="passphrase")
URL = PossessionQr(
    name="PROV_ABCDEF", username="ID", pop="CODE", password="passphrase", origin="https://localhost:8443"
)


def picture(folder: Path, text: str) -> str:
    path = folder / "code.png"
    segno.make_qr(text).save(str(path), scale=4, border=4)
    return str(path)


@pytest.mark.parametrize("qr", [STOCK, URL])
def test_a_possession_code_is_read_from_picture_and_text(tmp_path: Path, qr: PossessionQr) -> None:
    text = possession_qr.encode(qr)
    assert scan.read(picture(tmp_path, text)) == scan.read(text) == qr


def test_a_setup_code_is_read_from_picture_and_text(tmp_path: Path) -> None:
    assert scan.read(picture(tmp_path, SETUP.url)) == scan.read(f" {SETUP.url}\n".strip()) == SETUP


def test_a_picture_without_a_code_says_so(tmp_path: Path) -> None:
    Image.new("1", (200, 200), 1).save(tmp_path / "empty.png")
    with pytest.raises(Malformed, match="no QR code"):
        scan.read(str(tmp_path / "empty.png"))


def test_a_picture_with_two_codes_says_so(tmp_path: Path) -> None:
    one = Image.open(picture(tmp_path, SETUP.url)).convert("1")
    both = Image.new("1", (one.width * 2, one.height), 1)
    both.paste(one, (0, 0))
    both.paste(one, (one.width, 0))
    both.save(tmp_path / "two.png")
    with pytest.raises(Malformed, match="2 QR codes"):
        scan.read(str(tmp_path / "two.png"))


def test_a_file_that_is_no_picture_says_so(tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    path.write_text("text")
    with pytest.raises(Malformed, match="cannot be read as a picture"):
        scan.read(str(path))


def test_neither_file_nor_code_says_so(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="neither a picture nor"):
        scan.read(str(tmp_path / "missing.png"))


@given(st.text(max_size=60))
def test_any_text_is_a_code_or_malformed(text: str) -> None:
    for candidate in (text, f"https://{text}", f"{{{text}"):
        try:
            found = scan.classify(candidate)
        except Malformed:
            continue
        assert isinstance(found, PossessionQr | SetupCode)
