"""Reading the code that a person points at: a picture, or the text in it."""

from pathlib import Path

import zxingcpp
from PIL import Image, UnidentifiedImageError

from admittance.errors import Malformed
from admittance.wire import possession_qr, setup_code
from admittance.wire.possession_qr import PossessionQr
from admittance.wire.setup_code import SetupCode

# A photo of a phone has some 50 million pixels; what claims more is not read.
MAX_PIXELS = 100_000_000
_QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)


def read_picture(path: Path) -> str:
    """Return the text of the one QR code in a picture.

    Raises `Malformed` when the file is no picture, or shows no QR code or several.
    """
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise Malformed(f"{path} is too large; at most {MAX_PIXELS // 1_000_000} megapixels are read.")
            picture = opened.convert("L")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise Malformed(f"{path} cannot be read as a picture ({type(error).__name__}).") from None
    codes = zxingcpp.read_barcodes(picture, formats=_QR, text_mode=zxingcpp.TextMode.Plain)
    if len(codes) != 1:
        found = "no QR code" if not codes else f"{len(codes)} QR codes"
        raise Malformed(f"{path} shows {found}. Take a picture of the one code, closer and with more light.")
    return str(codes[0].text)


def classify(text: str) -> PossessionQr | SetupCode:
    """Return what a scanned or typed text is. Raises `Malformed` when it is neither of our codes."""
    text = text.strip()
    for read in (setup_code.parse_url, possession_qr.decode):
        try:
            return read(text)
        except Malformed:
            continue
    raise Malformed("This is no code of a device: neither the one on its display nor the label's setup URL.")


def read(argument: str) -> PossessionQr | SetupCode:
    """Return the code in `argument`: the name of a picture, or the text of a code. Raises `Malformed`."""
    if not argument.startswith(("{", "https://")):
        path = Path(argument)
        if not path.is_file():
            raise Malformed(f"{argument} is neither a picture nor the text of a code.")
        return classify(read_picture(path))
    return classify(argument)
