import asyncio
from pathlib import Path

from admittance.leash import leash


async def test_a_program_whose_parent_is_gone_already_does_not_begin(tmp_path: Path) -> None:
    """As if it had been killed just before: another process, a shell, is the parent."""
    began = tmp_path / "began"
    between = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
    shell = await asyncio.create_subprocess_exec(*between, *leash(), "touch", str(began))
    assert await shell.wait() == 1
    assert not began.exists()
