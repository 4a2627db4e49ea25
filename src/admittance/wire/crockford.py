"""Crockford's base32: digits and capitals without I, L, O and U, for codes that people read and type."""

from admittance.errors import Malformed

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {symbol: value for value, symbol in enumerate(ALPHABET)}
_LOOK_ALIKES = str.maketrans("ILO", "110", "- ")


def encode(data: bytes) -> str:
    """Encode `data`; the last symbol is padded with zero bits."""
    symbols = -(-len(data) * 8 // 5)
    number = int.from_bytes(data) << (symbols * 5 - len(data) * 8)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(symbols * 5 - 5, -1, -5))


def decode(text: str) -> bytes:
    """Decode a text as a person types it: any case, hyphens and spaces ignored, I and L read as 1, O as 0.

    Raises `Malformed` for other symbols, an impossible length or padding bits that are not zero.
    """
    symbols = normalise(text)
    size = len(symbols) * 5 // 8
    padding = len(symbols) * 5 - size * 8
    if padding >= 5:
        raise Malformed("base32 text of an impossible length")
    number = 0
    for symbol in symbols:
        number = number << 5 | _VALUES[symbol]
    if number & ((1 << padding) - 1):
        raise Malformed("base32 text with padding bits that are not zero")
    return (number >> padding).to_bytes(size)


def normalise(text: str) -> str:
    """The canonical form of a typed text. Raises `Malformed` for a symbol outside the alphabet."""
    if not text.isascii():
        raise Malformed("base32 text with a symbol outside the alphabet")
    symbols = text.upper().translate(_LOOK_ALIKES)
    if any(symbol not in _VALUES for symbol in symbols):
        raise Malformed("base32 text with a symbol outside the alphabet")
    return symbols
