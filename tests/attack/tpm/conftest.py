"""One site for all attacks on devices with TPMs; it lives in the event loop of the session, and so do the tests."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.attack.tpm_site import Kept, TpmSite, tpm_site
from tests.tpm_device import TpmDevice


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["sqlite", "postgresql"])
async def tpms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TpmSite]:
    async with tpm_site(request, tmp_path_factory.mktemp("tpms")) as opened:
        yield opened


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
