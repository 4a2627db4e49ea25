"""`admit demo channel`, as people run it."""

from pathlib import Path

from tests.e2e.demonstrations import demonstrated, logs_with_secrets, told_without_programs

STEPS = [
    "server",
    "nodes",
    "device",
    "connected",
    "talk",
    "nodes_apart",
    "observe",
    "node_killed",
    "second_phone",
    "lost_phone",
    "searched",
    "revoked",
    "audit",
]
SECRETS = ("password", "typed")


async def test_the_demonstration_shows_every_step_and_holds(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    told = await demonstrated("channel", folder)
    assert [step["step"] for step in told[:-1]] == STEPS
    assert told[-1]["devices"] == 1
    assert logs_with_secrets(folder, SECRETS) == []


async def test_without_nats_it_says_what_to_install(tmp_path: Path) -> None:
    assert "Debian package nats-server" in await told_without_programs("channel", tmp_path)
