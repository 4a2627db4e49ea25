"""`admit demo access`, as people run it."""

from pathlib import Path

from tests.e2e.demonstrations import demonstrated, logs_with_secrets

REASONS = {
    "fake_app": "integrity_refused",
    "app_not_attested": "integrity_required",
    "second_try": "authentication_failed",
    "second_key": "uses_spent",
    "next_morning": "expired",
    "stolen_login": "authentication_failed",
    "stolen_token": "channel_lost",
    "other_device": "authentication_failed",
}
"""How each step that shows a refusal is refused. A door says nothing at all to who can't open its messages."""

STEPS = [
    "server",
    "doors",
    "guest",
    "fake_app",
    "grant",
    "app_not_attested",
    "attested",
    "opened",
    "second_try",
    "second_key",
    "short_evening",
    "next_morning",
    "stolen_login",
    "stolen_token",
    "other_device",
    "monitor",
    "offline_token",
    "over_bluetooth",
    "audit",
]


async def test_the_demonstration_shows_every_step_and_holds(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    told = await demonstrated("access", folder)
    assert [step["step"] for step in told[:-1]] == STEPS
    assert {step["step"]: step["error"] for step in told if "error" in step} == REASONS
    assert logs_with_secrets(folder, ("password", "guest-password", "typed")) == []
