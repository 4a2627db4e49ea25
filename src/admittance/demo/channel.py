"""Talking to a device from anywhere: through relay nodes that read nothing, that die, and that know no lost phone.

The device is a notice board. Its relay node and the phone's are different processes, with NATS between them.
"""

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from admittance.demo import noticeboard
from admittance.demo.household import Household, RunningDevice, until
from admittance.demo.processes import ADMIT, Outcome, Program
from admittance.demo.relay_nodes import RelayNodes, facts_of
from admittance.demo.stage import HOME, Stage, device_model
from admittance.demo.steps import Story, require
from admittance.maker.making import MANIFEST

BOARD: Final = "board-1"
NORTH, SOUTH = "north", "south"
NOTICE: Final = "/notice"
POLL_S: Final = 0.3

BACK_WITHIN_S: Final = 5.0
ENDED_WITHIN_S: Final = 1.0
REFUSED_EXITS: Final = (4, 5)


@dataclass
class Observation:
    """A phone that watches the notice board."""

    program: Program

    def notices(self) -> list[str]:
        """What the phone printed, oldest first."""
        lines = self.program.log.read_bytes().splitlines(keepends=True)
        told: list[dict[str, Any]] = [
            msgspec.json.decode(line) for line in lines if line.startswith(b"{") and line.endswith(b"\n")
        ]
        return [str(each["value"]) for each in told if "value" in each]

    async def shows(self, notice: str, within_s: float) -> float:
        """Wait until the phone shows `notice`; returns the seconds."""
        return await until(lambda: notice in self.notices(), f"The phone shows {notice!r}.", within_s)


class Channel:
    """The scenario; each method tells one step or two."""

    def __init__(self, stage: Stage, story: Story) -> None:
        self._stage = stage
        self._story = story
        self._home = Household(stage)
        self._second = Household(stage, prefix="second-")
        self._nodes = RelayNodes(stage, (NORTH, SOUTH))
        self._secrets: list[str] = []
        self._set_up = 0

    @property
    def devices(self) -> int:
        return self._set_up

    async def run(self) -> None:
        """Play all steps. Raises at the first one that does not hold."""
        with self._nodes:
            await self._start_server()
            await self._start_nodes()
            await self._set_up_device()
            await self._talk()
            watching = await self._observe()
            await self._kill_node(watching)
            await self._lose_phone()
            await self._search_what_was_seen()
            await self._revoke()
            await self._verify_audit_log()

    @property
    def _board(self) -> RunningDevice:
        return self._home.devices[BOARD]

    async def _start_server(self) -> None:
        with self._story.step("server", "The server starts, on PostgreSQL and NATS"):
            await self._stage.receive_mail()
            await self._nodes.prepare()
            self._stage.write_config(self._config(), server=self._nodes.urls(apps=NORTH, devices=SOUTH))
            await self._stage.serve()

    async def _start_nodes(self) -> None:
        with self._story.step("nodes", "Two relay nodes start beside it") as step:
            for name in (NORTH, SOUTH):
                await self._nodes.start(name)
            step.facts["nodes"] = len(self._nodes.nodes)

    async def _set_up_device(self) -> None:
        stage, home = self._stage, self._home
        with self._story.step("device", "A notice board is made, and the phone in front of it sets it up") as step:
            await stage.init_maker()
            board = await home.make(BOARD, "--presence", "display", "--seal", "hybrid", "--listed")
            await stage.admit("import", "devices", "import", board.batch / MANIFEST, "--config", stage.config)
            await home.open_account()
            await stage.open_premises()
            await home.switch_on(board, "--poll-s", str(POLL_S), "--application", noticeboard.__file__)
            await home.opened(board)
            photo = await home.photograph(board)
            await home.provision(photo, *home.wifi(stage.wifi_password))
            await home.joined(board, HOME)
            await home.enrolled(board)
            self._set_up += 1
            step.facts["device_id"] = board.device_id
        with self._story.step("connected", "The notice board keeps a connection to the southern node") as step:
            step.facts["within_s"] = round(await self._connected(0), 3)

    async def _talk(self) -> None:
        with self._story.step("talk", "The phone pins a notice through the northern node, and reads it") as step:
            notice = self._notice()
            await self._talk_as(self._home, "put", NOTICE, "--text", notice)
            answer = await self._talk_as(self._home, "get", NOTICE)
            require(answer.last["value"] == notice, "The notice board shows what was pinned.")
        with self._story.step("nodes_apart", "Each node saw one end, and NATS carried the rest") as step:
            north, south = self._nodes.nodes[NORTH], self._nodes.nodes[SOUTH]
            require(bool(north.seen("from_app")), "The phone is at the northern node.")
            require(not north.seen("from_device"), "The notice board isn't.")
            require(bool(south.seen("from_device")), "The notice board is at the southern node.")
            require(not south.seen("from_app"), "The phone isn't.")
            step.facts |= {name: facts_of(node.seen()) for name, node in self._nodes.nodes.items()}

    async def _observe(self) -> Observation:
        with self._story.step("observe", "The phone watches; a change comes by itself") as step:
            program = await self._stage.programs.start("watching", [*self._talking(self._home, "observe", NOTICE)])
            watching = Observation(program)
            await until(lambda: bool(watching.notices()), "The phone shows what is pinned now.")
            notice = self._notice()
            await self._talk_as(self._home, "put", NOTICE, "--text", notice)
            step.facts["seen_after_s"] = round(await watching.shows(notice, BACK_WITHIN_S), 3)
        return watching

    async def _kill_node(self, watching: Observation) -> None:
        with self._story.step("node_killed", "The southern node is killed; both go on at the other") as step:
            south, connected = self._nodes.nodes[SOUTH], self._board.told("relay_connected")
            require(south.program is not None, "The southern node runs.")
            killed_at = time.monotonic()
            if south.program is not None:
                await south.program.kill()
            step.facts["device_back_s"] = round(await self._connected(connected), 3)
            notice = self._notice()
            await self._talk_as(self._home, "put", NOTICE, "--text", notice)
            await watching.shows(notice, BACK_WITHIN_S)
            step.facts["watching_again_s"] = round(time.monotonic() - killed_at, 3)
            require(step.facts["device_back_s"] < BACK_WITHIN_S, "The notice board is back within 5 seconds.")
            answer = await self._talk_as(self._home, "get", NOTICE)
            require(answer.last["value"] == notice, "Nothing was lost.")
        await watching.program.end()

    async def _lose_phone(self) -> None:
        first, second = self._home, self._second
        with self._story.step("second_phone", "The owner lets a second phone in"):
            await second.log_in(first.password_file)
            card = await self._as(second, "credentials", "card", "--app-name", "second phone")
            added = await self._as(first, "credentials", "add", self._board.device_id, card.last["card"])
            await self._as(second, "credentials", "accept", added.last["card"])
            answer = await self._talk_as(second, "get", NOTICE)
            require(answer.last["value"] == self._secrets[-1], "The second phone reads the notice.")
        with self._story.step("lost_phone", "The first phone is lost; the second one removes it") as step:
            listed = await self._as(first, "credentials", "list", self._board.device_id)
            (lost,) = [each["kid"] for each in listed.last["credentials"] if each["this_app"]]
            await self._as(second, "credentials", "remove", self._board.device_id, lost, "--yes")
            refused = await self._talk_as(first, "get", NOTICE, expect=None)
            require(refused.code in REFUSED_EXITS, "The lost phone gets no channel.")
            step.facts["error"] = refused.last["error"]
            answer = await self._talk_as(second, "get", NOTICE)
            require(answer.last["value"] == self._secrets[-1], "The second phone goes on.")

    async def _search_what_was_seen(self) -> None:
        with self._story.step("searched", "All that the nodes saw is searched for what was said") as step:
            for secret in (*self._secrets, NOTICE, NOTICE.strip("/"), "second phone"):
                require(not self._nodes.holds(secret.encode()), f"No node saw {secret!r}.")
            seen = [facts_of(node.seen()) for node in self._nodes.nodes.values()]
            step.facts |= {name: sum(each[name] for each in seen) for name in ("frames", "bytes")}
            step.facts["found"] = 0

    async def _revoke(self) -> None:
        second = self._second
        with self._story.step("revoked", "The device is revoked; the open stream ends within a second") as step:
            program = await self._stage.programs.start("watching-2", self._talking(second, "observe", NOTICE))
            watching = Observation(program)
            await until(lambda: bool(watching.notices()), "The second phone watches.")
            async with second.api() as owner:
                await owner.revoke(self._board.device_id, "lost")
            began = time.monotonic()
            told = "The notice board is told that its owner's access ended."
            step.facts["device_told_s"] = round(await until(lambda: self._board.told("epoch_ended") > 0, told), 3)
            await until(lambda: not program.running, "The watching phone is told.")
            step.facts["phone_ended_s"] = round(time.monotonic() - began, 3)
            require(step.facts["device_told_s"] < ENDED_WITHIN_S, "The stream ends within a second.")

    async def _verify_audit_log(self) -> None:
        with self._story.step("audit", "The audit log verifies") as step:
            verified = await self._stage.admit("audit", "audit", "verify", "--config", self._stage.config)
            require(verified.last["ok"] is True, "The chain holds.")
            step.facts["rows"] = verified.last["rows"]

    async def _connected(self, before: int) -> float:
        told = "The notice board is connected to a relay node."
        return await until(lambda: self._board.told("relay_connected") > before, told)

    async def _talk_as(self, phone: Household, *arguments: str, expect: int | None = 0) -> Outcome:
        return await self._stage.programs.run(phone.profile.name, self._talking(phone, *arguments), expect=expect)

    def _talking(self, phone: Household, *arguments: str) -> list[str | Path]:
        return [*ADMIT, "talk", self._board.device_id, *arguments, "--profile", phone.profile, "--json"]

    async def _as(self, phone: Household, *arguments: str) -> Outcome:
        return await self._stage.admit(phone.profile.name, *arguments, "--profile", phone.profile)

    def _notice(self) -> str:
        """A text that is nowhere else."""
        self._secrets.append(f"Key under the mat until {secrets.token_hex(8)}")
        return self._secrets[-1]

    def _config(self) -> str:
        return self._nodes.tables() + device_model(BOARD, "display", "listed", ())
