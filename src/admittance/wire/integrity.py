"""What apps and the integrity service say to each other, in JSON (`docs/protocol/integrity.md`)."""

from typing import Annotated, Literal

import msgspec

CHALLENGES_PATH = "/integrity/challenges"
ANSWERS_PATH = "/integrity/answers"
METADATA_PATH = "/.well-known/admittance-integrity"
JWKS_PATH = "/.well-known/jwks.json"
ATTESTATION_HEADER = "oauth-client-attestation"
ATTESTATION_TYPE = "oauth-client-attestation+jwt"

CHALLENGE_BYTES = 16
NONCE_BYTES = 32
ANSWER_BYTES = 32
MAX_FILES = 20_000
MAX_PATH_CHARACTERS = 1024

ClientId = Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]{1,128}\Z")]
Version = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}\Z")]
Coordinate = Annotated[str, msgspec.Meta(min_length=43, max_length=43)]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PATH_CHARACTERS)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message in which nothing unknown stands."""


class PublicKey(Strict, frozen=True):
    """A P-256 public key as a JWK (RFC 7518, section 6.2.1), with the members of its thumbprint alone."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Coordinate
    y: Coordinate


class ChallengeRequest(Strict, frozen=True):
    """An app asks to be challenged. `jwk` is the key that its DPoP proof is by."""

    client_id: ClientId
    version: Version
    jwk: PublicKey


class Challenge(Strict, frozen=True):
    """`challenge` (16 bytes) names it, `nonce` (32 bytes) keys the answer; `question` is the verifier's."""

    challenge: str
    nonce: str
    deadline_s: int
    verifier: str
    question: msgspec.Raw


class AskedFile(Strict, frozen=True):
    """Parts of one file, each an offset and a length in bytes."""

    path: Path
    ranges: tuple[tuple[Whole, Whole], ...]


class MeasuredFilesQuestion(Strict, frozen=True):
    """What the verifier ``measured_files`` asks: the bytes in these ranges, in this order."""

    files: Annotated[tuple[AskedFile, ...], msgspec.Meta(max_length=MAX_FILES)]


class MeasuredFilesAnswers(Strict, frozen=True):
    """The answer to `MeasuredFilesQuestion`: 32 bytes in base64url."""

    mac: str


class AnswerRequest(Strict, frozen=True):
    """`answers` is what the verifier of the challenge wants."""

    challenge: str
    answers: msgspec.Raw


class Attested(Strict, frozen=True):
    """The attestation, a JWT, and when it ends (Unix time)."""

    attestation: str
    expires_at: int
