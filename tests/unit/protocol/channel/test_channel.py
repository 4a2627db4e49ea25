from admittance.protocol.channel.channel import Established
from tests.unit.protocol.channel.channel_world import Pair, content, get, owner


def test_an_app_opens_a_channel_and_gets_an_answer() -> None:
    pair = Pair.of()
    handle = pair.ask(get("/sensors/temperature"))
    pair.run()
    assert pair.answers(handle) == [content(b"answer")]
    assert pair.app_events[0] == Established(None)
    assert pair.device_events[0] == Established(owner())
    assert [message.path for message in pair.executed] == ["/sensors/temperature"]
