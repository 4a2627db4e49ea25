"""Labels: the setup code of a device as picture, as NFC record and on a sheet to print."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import segno
from PIL import Image, ImageDraw, ImageFont

from admittance.maker.files import write_private
from admittance.maker.making import BIRTH, MadeDevice
from admittance.wire.birth import Birth, decode_birth
from admittance.wire.setup_code import SetupCode, encode_ndef

LABEL_PNG = "label.png"
LABEL_NDEF = "label.ndef"

# At 300 dpi a label measures 70 x 35 mm, and an A4 page takes 2 x 7 of them.
_DPI = 300
_LABEL = (826, 413)
_PAGE = (2480, 3508)
_COLUMNS, _ROWS = 2, 7
_QR_PIXELS = 360
_MARGIN = 26


@dataclass(frozen=True)
class Label:
    setup_code: SetupCode
    model: str

    @staticmethod
    def of(birth: Birth) -> "Label":
        return Label(SetupCode(birth.server_origin, birth.device_id), birth.model)


def write_label(device: MadeDevice) -> Label:
    """Write ``label.png`` and ``label.ndef`` beside a device's birth; the same again gives the same files."""
    label = Label.of(decode_birth((device.directory / BIRTH).read_bytes()))
    picture = BytesIO()
    draw_label(label).save(picture, "PNG", dpi=(_DPI, _DPI))
    write_private(device.directory / LABEL_PNG, picture.getvalue())
    write_private(device.directory / LABEL_NDEF, encode_ndef(label.setup_code))
    return label


def write_sheet(labels: Sequence[Label], path: Path) -> int:
    """Write labels to an A4 PDF for printing and return its number of pages."""
    pages = list(_pages(labels))
    document = BytesIO()
    pages[0].save(document, "PDF", resolution=_DPI, save_all=True, append_images=pages[1:])
    write_private(path, document.getvalue())
    return len(pages)


def draw_label(label: Label) -> Image.Image:
    """Return the picture of a label: the QR code, and the same for people."""
    picture = Image.new("1", _LABEL, 1)
    code = _draw_code(label.setup_code.url)
    picture.paste(code, (_MARGIN, (_LABEL[1] - code.height) // 2))
    left = _MARGIN * 2 + _QR_PIXELS
    draw = ImageDraw.Draw(picture)
    draw.text((left, 60), label.model, font=ImageFont.load_default(40), fill=0)
    for number, line in enumerate(_grouped(label.setup_code.device_id)):
        draw.text((left, 130 + 46 * number), line, font=ImageFont.load_default(36), fill=0)
    draw.text((left, 300), "Scan to set up, or go to", font=ImageFont.load_default(26), fill=0)
    host = label.setup_code.origin.removeprefix("https://")
    draw.text((left, 334), f"{host}/d/", font=ImageFont.load_default(26), fill=0)
    return picture


def _draw_code(url: str) -> Image.Image:
    code = segno.make_qr(url, error="m")
    modules = code.symbol_size(border=4)[0]
    rendered = BytesIO()
    code.save(rendered, kind="png", scale=max(1, _QR_PIXELS // modules), border=4)
    return Image.open(rendered).convert("1")


def _grouped(device_id: str) -> Iterator[str]:
    """Split a device id into lines that a person can read out: groups of four, three to a line."""
    groups = [device_id[:2]] + [device_id[start : start + 4] for start in range(2, len(device_id), 4)]
    yield " ".join(groups[:3])
    yield " ".join(groups[3:])


def _pages(labels: Sequence[Label]) -> Iterator[Image.Image]:
    per_page = _COLUMNS * _ROWS
    step = (_PAGE[0] // _COLUMNS, _PAGE[1] // _ROWS)
    for start in range(0, len(labels), per_page):
        page = Image.new("1", _PAGE, 1)
        for place, label in enumerate(labels[start : start + per_page]):
            column, row = place % _COLUMNS, place // _COLUMNS
            inset = ((step[0] - _LABEL[0]) // 2, (step[1] - _LABEL[1]) // 2)
            page.paste(draw_label(label), (column * step[0] + inset[0], row * step[1] + inset[1]))
        yield page
