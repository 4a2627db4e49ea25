from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tpm_device import TpmDevice, running_tpms, tpm_device


@dataclass(frozen=True)
class Tpms:
    """Software TPMs of one maker, whose CA certificate (PEM) is in `root`."""

    root: Path
    tctis: dict[str, str]

    def device(self, kind: str = "p256", model: str = "lamp") -> TpmDevice:
        """The device whose TPM has an endorsement key of that kind, as it is before its first contact."""
        return tpm_device(self.tctis[kind], model)


@pytest.fixture(scope="session")
def tpms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tpms]:
    folder = tmp_path_factory.mktemp("tpms")
    with running_tpms(folder, "p256", "rsa", "p384") as tctis:
        yield Tpms(folder / "maker" / "ek-ca.pem", dict(zip(("p256", "rsa", "p384"), tctis, strict=True)))
