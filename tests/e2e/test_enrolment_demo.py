"""`admit demo enrolment`, as people run it."""

from pathlib import Path

from tests.e2e.demonstrations import demonstrated, logs_with_secrets, told_without_programs

STEPS = [
    "server",
    "make",
    "models",
    "accounts",
    "power",
    "login",
    "code",
    "evidence",
    "sessions",
    "other_doors",
    "clone",
    "reset",
    "again",
    "release",
    "claim",
    "history",
    "mail",
    "audit",
]
SECRETS = ("password", "buyer-password", "typed", "panel-wifi", "sms-token")


async def test_the_demonstration_shows_every_step_and_holds(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    told = await demonstrated("enrolment", folder)
    assert [step["step"] for step in told[:-1]] == STEPS
    assert told[-1]["devices"] == 2
    assert logs_with_secrets(folder, SECRETS) == []


async def test_without_a_software_tpm_it_says_what_to_install(tmp_path: Path) -> None:
    assert "Debian package swtpm" in await told_without_programs("enrolment", tmp_path)
