"""How an app proves that it is the untampered one: one module for each kind of evidence."""

from collections.abc import Callable

from admittance.server.integrity.files import FileCopies
from admittance.server.integrity.verifiers.measured_files import MeasuredFiles
from admittance.server.integrity.verifiers.port import Verifier

VERIFIERS: dict[str, Callable[[FileCopies], Verifier]] = {MeasuredFiles.name: MeasuredFiles}
"""By the name that releases and challenges carry."""


def all_verifiers(copies: FileCopies) -> dict[str, Verifier]:
    return {name: make(copies) for name, make in VERIFIERS.items()}
