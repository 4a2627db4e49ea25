"""Which bytes a challenge asks for.

Each file is cut into segments of at most 64 KiB. Of each segment a run of bytes is asked for that begins anywhere,
and goes on at the segment's beginning when it reaches its end; it is as long as the coverage says. So every byte of
an app is asked for with at least that probability; every file is touched, empty ones through the listing; and changes
in several segments are found independently of each other.
"""

import hashlib
from collections.abc import Iterable, Iterator

from admittance.protocol.integrity.files import FileRange, ListedFile

SEGMENT_BYTES = 64 * 1024
_LABEL = b"admittance/integrity-ranges/1"
_WORD_BYTES = 8


def draw(files: Iterable[ListedFile], *, coverage_percent: int, randomness: bytes) -> tuple[FileRange, ...]:
    """The ranges of one challenge, by path and offset, none of them empty.

    Args:
        coverage_percent: from 1 to 100.
        randomness: 32 bytes, drawn for this challenge alone.
    """
    numbers = _numbers(randomness)
    return tuple(part for file in sorted(files) for part in _of_file(file, coverage_percent, numbers))


def _of_file(file: ListedFile, coverage_percent: int, numbers: Iterator[int]) -> Iterator[FileRange]:
    for begin in range(0, file.size, SEGMENT_BYTES):
        size = min(SEGMENT_BYTES, file.size - begin)
        length = -(-size * coverage_percent // 100)
        start = 0 if length == size else _below(size, numbers)
        beyond = start + length - size
        if beyond > 0:
            yield FileRange(file.path, begin, beyond)
        yield FileRange(file.path, begin + start, min(length, size - start))


def _below(bound: int, numbers: Iterator[int]) -> int:
    """A number from 0 to below `bound`, each as likely as any other."""
    limit = 256**_WORD_BYTES // bound * bound
    return next(number for number in numbers if number < limit) % bound


def _numbers(randomness: bytes) -> Iterator[int]:
    counter = 0
    while True:
        block = hashlib.sha256(_LABEL + randomness + counter.to_bytes(8, "big")).digest()
        for at in range(0, len(block), _WORD_BYTES):
            yield int.from_bytes(block[at : at + _WORD_BYTES], "big")
        counter += 1
