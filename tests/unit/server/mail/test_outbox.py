"""The outbox: nothing lost, nothing sent before its transaction commits, growing delays."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from admittance.errors import Unavailable
from admittance.server.database import Database
from admittance.server.mail.outbox import enqueue
from admittance.server.mail.port import Mail
from admittance.server.mail.sender import SCHEDULE, mail_sender
from admittance.server.mail.store import outbox
from admittance.server.outbox import OutboxSender, Rejected

START = 1_800_000_000


class Recorder:
    """A transport that keeps what it was given, after raising what the test prepared."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []
        self.failures: list[BaseException] = []

    async def send(self, mail: Mail) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(mail)


class Post:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = START
        self.transport = Recorder()
        self.sender = mail_sender(database=database, clock=lambda: self.now, transport=self.transport)

    async def enqueue(self, subject: str = "A device was enrolled") -> None:
        async with self.database.transaction() as connection:
            await enqueue(connection, "owner@example.org", subject, "Hello", self.now)

    async def row(self) -> Any:
        async with self.database.read() as connection:
            return (await connection.execute(select(outbox))).one()


@pytest.fixture
def post(database: Database) -> Post:
    return Post(database)


async def test_a_mail_is_sent_once(post: Post) -> None:
    await post.enqueue()
    assert await post.sender.send_next()
    assert not await post.sender.send_next()
    assert [mail.subject for mail in post.transport.sent] == ["A device was enrolled"]
    assert (await post.row()).state == "sent"


async def test_a_mail_of_a_rolled_back_transaction_is_never_sent(post: Post) -> None:
    async def enqueue_and_fail() -> None:
        async with post.database.transaction() as connection:
            await enqueue(connection, "owner@example.org", "A device was enrolled", "Hello", START)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await enqueue_and_fail()
    assert not await post.sender.send_next()


async def test_a_subject_becomes_one_bounded_line(post: Post) -> None:
    await post.enqueue("Lamp\r\nBcc: all@example.org " + "x" * 300)
    row = await post.row()
    assert row.subject.startswith("Lamp Bcc: all@example.org xxx")
    assert len(row.subject) == 200


async def test_a_mail_is_tried_again_with_growing_delays(post: Post) -> None:
    await post.enqueue()
    post.transport.failures = [Unavailable("down")] * 12
    delays = []
    for _ in range(12):
        assert await post.sender.send_next()
        assert not await post.sender.send_next()
        delays.append((await post.row()).next_attempt_at - post.now)
        post.now += delays[-1]
    assert delays[:3] == [SCHEDULE.first_delay_s * factor for factor in (1, 2, 4)]
    assert delays[-1] == SCHEDULE.max_delay_s
    await post.sender.send_next()
    assert len(post.transport.sent) == 1


async def test_a_mail_that_is_refused_for_good_is_kept_as_failed(post: Post) -> None:
    await post.enqueue()
    post.transport.failures = [Rejected("no such user")]
    await post.sender.send_next()
    row = await post.row()
    assert (row.state, row.last_error) == ("failed", "no such user")
    assert not await post.sender.send_next()


async def test_after_five_days_a_mail_is_given_up_and_kept(post: Post) -> None:
    await post.enqueue()
    post.now += SCHEDULE.give_up_s
    post.transport.failures = [Unavailable("down")]
    await post.sender.send_next()
    assert (await post.row()).state == "failed"


async def test_a_mail_claimed_by_a_node_that_died_is_sent_by_another(post: Post) -> None:
    await post.enqueue()
    post.transport.failures = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        await post.sender.send_next()
    assert not await post.sender.send_next()
    post.now += SCHEDULE.lease_s
    assert await post.sender.send_next()
    assert len(post.transport.sent) == 1


async def test_nodes_at_once_do_not_send_a_mail_twice(post: Post) -> None:
    for _ in range(6):
        await post.enqueue()
    second = mail_sender(database=post.database, clock=lambda: post.now, transport=post.transport)

    async def drain(sender: OutboxSender) -> None:
        for _ in range(10):
            await sender.send_next()

    await asyncio.gather(drain(post.sender), drain(second))
    assert len({mail.mail_id for mail in post.transport.sent}) == len(post.transport.sent) == 6
