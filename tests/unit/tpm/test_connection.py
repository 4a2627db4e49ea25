import multiprocessing
import os
import signal

import pytest

from admittance.errors import TpmRefused
from admittance.tpm import templates
from admittance.tpm.connection import ESYS_TR, TPM2_ALG, converse
from tests.tpm_made import loaded


class Fault(Exception):
    pass


def _fault_with_keys_loaded(tcti: str) -> None:
    with (
        converse(tcti) as tpm,
        tpm.primary(ESYS_TR.ENDORSEMENT, templates.identity()),
        tpm.primary(ESYS_TR.OWNER, templates.storage_root()) as root,
    ):
        private, public = tpm.create(root, templates.operational())
        with tpm.loaded(root, private, public), tpm.policy_session(TPM2_ALG.SHA256):
            raise Fault


def test_a_fault_of_our_own_leaves_nothing_loaded(tcti: str) -> None:
    with pytest.raises(Fault):
        _fault_with_keys_loaded(tcti)
    assert loaded(tcti) == 0


def test_a_tpm_without_room_refuses_and_is_usable_again(tcti: str) -> None:
    def fill(depth: int) -> None:
        with tpm.primary(ESYS_TR.ENDORSEMENT, templates.attestation(bytes([depth]) * 32)):
            fill(depth + 1)

    with pytest.raises(TpmRefused) as refused, converse(tcti) as tpm:
        fill(0)
    assert refused.value.response_code == 0x902
    assert loaded(tcti) == 0


def _die_with_keys_loaded(tcti: str) -> None:
    with (
        converse(tcti) as tpm,
        tpm.primary(ESYS_TR.ENDORSEMENT, templates.identity()),
        tpm.primary(ESYS_TR.OWNER, templates.storage_root()),
        tpm.policy_session(TPM2_ALG.SHA256),
    ):
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_process_left_behind_is_flushed(tcti: str) -> None:
    for _ in range(3):
        process = multiprocessing.get_context("spawn").Process(target=_die_with_keys_loaded, args=(tcti,))
        process.start()
        process.join()
        assert loaded(tcti) == 3
    with converse(tcti):
        pass
    assert loaded(tcti) == 0
