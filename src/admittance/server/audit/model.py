"""One row of the audit log."""

from collections.abc import Mapping

import msgspec

Detail = str | int | bool | None


class Entry(msgspec.Struct, frozen=True):
    """What happened. `number` counts from 1 without gaps; `at` is in Unix seconds.

    `event` is a stable word such as ``device.activated``; `actor` who did it (``account:ID``,
    ``device:ID``, ``operator``, ``server``); `subject` what it was done to. `details` holds no secret.
    """

    number: int
    at: int
    event: str
    actor: str
    subject: str
    details: Mapping[str, Detail]
