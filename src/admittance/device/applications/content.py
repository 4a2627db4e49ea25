"""What a resource answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cbor2

from admittance.wire import senml
from admittance.wire.coap import formats


@dataclass(frozen=True, slots=True)
class Content:
    """A payload of up to 64 KiB with CoAP's number for what it is.

    `code` is the response code; by itself it is 2.05 for what reads, 2.02 for DELETE and 2.04 for what else changes.
    """

    payload: bytes = b""
    content_format: int | None = None
    code: int | None = None

    @classmethod
    def cbor(cls, value: object, code: int | None = None) -> Self:
        return cls(cbor2.dumps(value, canonical=True), formats.CBOR, code)

    @classmethod
    def json(cls, value: object, code: int | None = None) -> Self:
        return cls(json.dumps(value, separators=(",", ":")).encode(), formats.JSON, code)

    @classmethod
    def text(cls, value: str, code: int | None = None) -> Self:
        return cls(value.encode(), formats.TEXT, code)

    @classmethod
    def senml(cls, records: Sequence[senml.Record]) -> Self:
        """Measurements as SenML in CBOR (RFC 8428)."""
        return cls(senml.encode(records), formats.SENML_CBOR)
