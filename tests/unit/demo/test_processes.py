import asyncio
import os
import sys
from pathlib import Path

import pytest

from admittance.demo.processes import Program, ProgramFailed, Programs

FOREVER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")


def alive(program: Program) -> bool:
    return Path(f"/proc/{program.pid}").exists()


async def started(programs: Programs) -> Program:
    program = await programs.start("forever", FOREVER)

    async def up() -> bool:
        return "up" in program.tail()

    await program.ready(up)
    return program


async def test_programs_end_with_their_demonstration(tmp_path: Path) -> None:
    async with Programs(tmp_path / "logs") as programs:
        program = await started(programs)
        assert alive(program)
    assert not alive(program)


async def test_programs_end_when_the_demonstration_fails(tmp_path: Path) -> None:
    async def failing() -> None:
        async with Programs(tmp_path / "logs") as programs:
            running.append(await started(programs))
            raise KeyError

    running: list[Program] = []
    with pytest.raises(KeyError):
        await failing()
    assert not alive(running[0])


async def test_a_program_that_ignores_the_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admittance.demo.processes.END_TIMEOUT_S", 0.1)
    deaf = "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    async with Programs(tmp_path / "logs") as programs:
        program = await programs.start("deaf", (sys.executable, "-c", deaf))

        async def up() -> bool:
            return "up" in program.tail()

        await program.ready(up)
    assert not alive(program)


async def test_a_program_that_ends_early_shows_its_last_words(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    async with Programs(tmp_path / "logs") as programs:
        program = await programs.start("early", (sys.executable, "-c", "print('last words'); raise SystemExit(3)"))
        with pytest.raises(ProgramFailed, match="exit code 3") as failure:
            await program.ready(never)
    assert "last words" in failure.value.log


async def test_objects_are_read_and_other_lines_passed_over(tmp_path: Path) -> None:
    seen: list[object] = []
    script = """print('hello'); print('{"a": 1}'); print('[1]'); print('{"a": 2}'); raise SystemExit(4)"""
    async with Programs(tmp_path / "logs") as programs:
        command = (sys.executable, "-c", script)
        done = await programs.run("speaks", command, expect=4, on_object=seen.append)
    assert done.objects == ({"a": 1}, {"a": 2})
    assert (done.code, done.last, seen) == (4, {"a": 2}, [{"a": 1}, {"a": 2}])


async def test_another_exit_code_than_expected_is_a_failure(tmp_path: Path) -> None:
    async with Programs(tmp_path / "logs") as programs:
        with pytest.raises(ProgramFailed, match="exit code 1, expected 0"):
            await programs.run("fails", (sys.executable, "-c", "raise SystemExit(1)"))


async def test_a_program_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    async with Programs(tmp_path / "logs") as programs:
        with pytest.raises(ProgramFailed, match="did not end"):
            await programs.run("slow", FOREVER, timeout_s=0.5)


async def test_programs_end_when_the_demonstration_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from admittance.demo.processes import Programs\n"
        "async def main():\n"
        "    async with Programs(Path(sys.argv[1])) as programs:\n"
        "        child = await programs.start('child', (sys.executable, '-c', 'import time; time.sleep(600)'))\n"
        "        print(child.pid, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(10):
        while _runs(child):
            await asyncio.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"
