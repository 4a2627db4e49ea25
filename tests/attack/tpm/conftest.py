"""Devices with TPMs at the site of second factors."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.attack.factor_site import FactorSite
from tests.attack.tpm_site import Kept, TpmSite
from tests.tpm_device import TpmDevice


@pytest.fixture(scope="session")
def tpms(at: FactorSite) -> Iterator[TpmSite]:
    with ExitStack() as stack:
        yield TpmSite(at.site, at.folder, stack)


@dataclass(frozen=True)
class Enrolled:
    """A device that enrolled by its TPM, with the operational key that it got a certificate for."""

    device: TpmDevice
    kept: Kept


@pytest_asyncio.fixture(loop_scope="session")
async def enrolled(tpms: TpmSite) -> Enrolled:
    device = tpms.device()
    return Enrolled(device, await tpms.onboard(await tpms.site.somebody("owner"), device))


@pytest_asyncio.fixture(loop_scope="session")
async def victim(enrolled: Enrolled) -> TpmDevice:
    return enrolled.device
