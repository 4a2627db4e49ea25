"""A device behind a relay, in a thread of its own, for commands that run an event loop themselves."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner, Result

from admittance.cli import main
from tests.unit.client.channel.relay_world import World, relay_world

PATIENCE_S = 20.0

T = TypeVar("T")


class Home:
    """A phone's profile, and others by name; `run` does something where device and relay live."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        self.world = world
        self._loop = loop

    def run(self, work: Callable[[], T]) -> T:
        async def there() -> T:
            return work()

        return self.await_(there())

    def await_(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def admit(self, *arguments: str, profile: str = "phone", stdin: str = "") -> Result:
        environment = {"ADMITTANCE_PROFILE": str(self.world.store.directory.parent / profile)}
        return CliRunner(env=environment).invoke(main, arguments, input=stdin)

    def object(self, *arguments: str, profile: str = "phone", stdin: str = "") -> Any:
        """What a command that must succeed prints with ``--json``."""
        done = self.admit(*arguments, "--json", profile=profile, stdin=stdin)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def text(self, *arguments: str, profile: str = "phone", stdin: str = "") -> str:
        """What a command that must succeed tells a person."""
        done = self.admit(*arguments, profile=profile, stdin=stdin)
        assert done.exit_code == 0, done.output
        return done.stdout

    def refusal(self, *arguments: str, profile: str = "phone") -> tuple[int, str, str]:
        """Exit code, error and detail of a command that must fail, which it prints with ``--json``."""
        failed = self.admit(*arguments, "--json", profile=profile)
        told = json.loads(failed.stdout.splitlines()[-1])
        return failed.exit_code, told["error"], told["detail"]


@contextmanager
def home(folder: Path) -> Iterator[Home]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened = relay_world(folder)

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_S)

    try:
        world = wait(opened.__aenter__())
        try:
            yield Home(world, loop)
        finally:
            wait(opened.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
