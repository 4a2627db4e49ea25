"""Evidence by content: the app answers for random ranges of its files, which the service holds copies of."""

from itertools import groupby
from typing import ClassVar

import msgspec

from admittance.errors import IntegrityRefused, Malformed
from admittance.protocol.integrity import answers as protocol
from admittance.protocol.integrity.answers import Subject
from admittance.protocol.integrity.drawing import draw
from admittance.protocol.integrity.files import FileRange
from admittance.server.integrity.files import FileCopies
from admittance.server.integrity.model import OpenChallenge, Release
from admittance.wire import base64url
from admittance.wire.integrity import ANSWER_BYTES, AskedFile, MeasuredFilesAnswers, MeasuredFilesQuestion


class MeasuredFiles:
    """Finds a changed byte with the challenge's coverage as probability; a file more or less, always."""

    name: ClassVar[str] = "measured_files"

    def __init__(self, copies: FileCopies) -> None:
        self._copies = copies

    def question(self, release: Release, challenge: OpenChallenge) -> MeasuredFilesQuestion:
        return MeasuredFilesQuestion(
            files=tuple(
                AskedFile(path=path, ranges=tuple((part.offset, part.length) for part in parts))
                for path, parts in groupby(_ranges(release, challenge), key=lambda part: part.path)
            )
        )

    def verify(self, release: Release, challenge: OpenChallenge, answers: msgspec.Raw) -> None:
        try:
            given = base64url.decode(msgspec.json.decode(answers, type=MeasuredFilesAnswers).mac, length=ANSWER_BYTES)
        except (msgspec.MsgspecError, UnicodeDecodeError, Malformed):
            raise IntegrityRefused("malformed") from None
        digests = {file.path: file.sha256 for file in release.files}
        expected = protocol.compute(
            Subject(
                challenge=challenge.challenge,
                nonce=challenge.nonce,
                client_id=challenge.client_id,
                version=challenge.version,
                jkt=challenge.jkt,
            ),
            listing=release.listing,
            ranges=_ranges(release, challenge),
            read=lambda part: self._copies.read(digests[part.path], part.offset, part.length),
        )
        protocol.verify(given, expected)


def _ranges(release: Release, challenge: OpenChallenge) -> tuple[FileRange, ...]:
    return draw(release.listing, coverage_percent=challenge.coverage_percent, randomness=challenge.randomness)
