import pytest

from admittance.errors import Conflict, JoinFailed, Misuse, NotFound, Unreachable
from admittance.premises import config
from admittance.premises.world import ToStation, ToUplink, World

PREMISES = config.parse("""
networks = [
  {ssid = "Home", passphrase = "correct horse", signal_dbm = -48, channel = 11},
  {ssid = "Guest", signal_dbm = -60, uplink = false},
  {ssid = "Full", passphrase = "no more leases", signal_dbm = -70, address = false},
  {ssid = "Far", signal_dbm = -95},
  {ssid = "mobile", kind = "cellular"},
]
[uplink]
hosts = ["localhost:8443"]
""")


@pytest.fixture
def world() -> World:
    world = World(PREMISES)
    world.attach("device", cellular=False)
    world.attach("phone", cellular=True)
    return world


def _cause(world: World, name: str, ssid: str, passphrase: str) -> str:
    with pytest.raises(JoinFailed) as failure:
        world.join(name, ssid, passphrase)
    assert world.joined(name) is None
    assert passphrase == "" or passphrase not in str(failure.value)
    return failure.value.cause


def test_scan_shows_what_is_in_range_strongest_first(world: World) -> None:
    networks = world.scan("device")
    assert [n.ssid for n in networks] == ["Home", "Guest", "Full"]
    assert [n.auth for n in networks] == ["wpa2", "open", "wpa2"]
    assert (networks[0].channel, networks[0].signal_dbm) == (11, -48)


def test_bssids_are_stable_distinct_and_locally_administered(world: World) -> None:
    first, again = world.scan("device"), World(PREMISES)
    again.attach("other", cellular=False)
    assert [n.bssid for n in first] == [n.bssid for n in again.scan("other")]
    assert len({n.bssid for n in first}) == 3
    assert all(len(n.bssid) == 6 and n.bssid[0] & 3 == 2 for n in first)


def test_access_point_is_seen_by_others_only(world: World) -> None:
    world.open_access_point("device", "PROV_A1B2C3", "twelve chars")
    assert "PROV_A1B2C3" in [n.ssid for n in world.scan("phone")]
    assert "PROV_A1B2C3" not in [n.ssid for n in world.scan("device")]


@pytest.mark.parametrize(
    ("ssid", "passphrase", "cause"),
    [
        ("Home", "wrong horse", "wrong_password"),
        ("Guest", "unasked for", "wrong_password"),
        ("Nowhere", "", "not_found"),
        ("Far", "", "not_found"),
        ("mobile", "", "not_found"),
        ("Full", "no more leases", "no_address"),
        ("Full", "wrong", "wrong_password"),
    ],
)
def test_device_learns_why_it_could_not_join(world: World, ssid: str, passphrase: str, cause: str) -> None:
    assert _cause(world, "device", ssid, passphrase) == cause


def test_only_a_phone_uses_the_cellular_network(world: World) -> None:
    world.join("phone", "mobile", "")
    assert world.open_stream("phone", "LOCALHOST", 8443)[1] == ToUplink("localhost", 8443)


def test_second_network_without_leaving_the_first_is_refused(world: World) -> None:
    world.join("phone", "mobile", "")
    with pytest.raises(Misuse):
        world.join("phone", "Home", "correct horse")


def test_leaving_drops_every_stream(world: World) -> None:
    world.join("phone", "mobile", "")
    numbers = {world.open_stream("phone", "localhost", 8443)[0] for _ in range(3)}
    assert world.leave("phone") == numbers
    assert not any(world.is_open(number) for number in numbers)
    assert world.leave("phone") == frozenset()


def test_leaving_keeps_the_streams_of_others(world: World) -> None:
    world.join("device", "Home", "correct horse")
    world.join("phone", "mobile", "")
    number, _ = world.open_stream("device", "localhost", 8443)
    assert world.leave("phone") == frozenset()
    assert world.is_open(number)


def test_nothing_is_reached_without_a_network(world: World) -> None:
    with pytest.raises(Unreachable):
        world.open_stream("device", "localhost", 8443)


def test_network_without_uplink_reaches_nothing(world: World) -> None:
    world.join("device", "Guest", "")
    with pytest.raises(Unreachable) as failure:
        world.open_stream("device", "localhost", 8443)
    assert failure.value.cause == "no_server"


@pytest.mark.parametrize(("host", "port"), [("localhost", 22), ("example.org", 8443), ("192.168.4.1", 80)])
def test_uplink_reaches_only_its_hosts(world: World, host: str, port: int) -> None:
    world.join("device", "Home", "correct horse")
    with pytest.raises(Unreachable):
        world.open_stream("device", host, port)


def test_guest_of_an_access_point_reaches_that_device_alone(world: World) -> None:
    world.open_access_point("device", "PROV_A1B2C3", "twelve chars")
    world.join("phone", "PROV_A1B2C3", "twelve chars")
    assert world.open_stream("phone", "192.168.4.1", 80)[1] == ToStation("device")
    for host, port in (("192.168.4.1", 81), ("localhost", 8443)):
        with pytest.raises(Unreachable):
            world.open_stream("phone", host, port)


def test_wrong_passphrase_of_an_access_point(world: World) -> None:
    world.open_access_point("device", "PROV_A1B2C3", "twelve chars")
    assert _cause(world, "phone", "PROV_A1B2C3", "eleven chars") == "wrong_password"


def test_device_cannot_join_its_own_access_point(world: World) -> None:
    world.open_access_point("device", "PROV_A1B2C3", "twelve chars")
    assert _cause(world, "device", "PROV_A1B2C3", "twelve chars") == "not_found"


def test_device_runs_its_access_point_beside_a_network(world: World) -> None:
    world.open_access_point("device", "PROV_A1B2C3", "twelve chars")
    world.join("phone", "PROV_A1B2C3", "twelve chars")
    number, _ = world.open_stream("phone", "192.168.4.1", 80)
    world.join("device", "Home", "correct horse")
    world.open_stream("device", "localhost", 8443)
    world.leave("device")
    assert world.is_open(number)


def test_closing_the_access_point_puts_its_guests_out(world: World) -> None:
    world.open_access_point("device", "PROV_A1B2C3", "twelve chars")
    world.join("phone", "PROV_A1B2C3", "twelve chars")
    number, _ = world.open_stream("phone", "192.168.4.1", 80)
    assert world.close_access_point("device") == {number}
    assert world.joined("phone") is None


def test_detaching_takes_access_point_and_streams_along(world: World) -> None:
    world.open_access_point("device", "PROV_A1B2C3", "twelve chars")
    world.join("device", "Home", "correct horse")
    world.join("phone", "PROV_A1B2C3", "twelve chars")
    numbers = {world.open_stream("phone", "192.168.4.1", 80)[0], world.open_stream("device", "localhost", 8443)[0]}
    assert world.detach("device") == numbers
    assert [view.name for view in world.stations()] == ["phone"]


def test_name_of_a_network_is_taken_once(world: World) -> None:
    with pytest.raises(Conflict):
        world.open_access_point("device", "Home", "twelve chars")
    world.open_access_point("device", "PROV_A1B2C3", "twelve chars")
    with pytest.raises(Conflict):
        world.open_access_point("device", "PROV_D4E5F6", "twelve chars")
    with pytest.raises(Conflict):
        world.open_access_point("phone", "PROV_A1B2C3", "twelve chars")
    with pytest.raises(Conflict):
        world.attach("phone", cellular=True)


def test_changed_passphrase_puts_the_stations_out(world: World) -> None:
    world.join("device", "Home", "correct horse")
    number, _ = world.open_stream("device", "localhost", 8443)
    assert world.set_passphrase("Home", "battery staple") == {number}
    assert _cause(world, "device", "Home", "correct horse") == "wrong_password"
    world.join("device", "Home", "battery staple")


def test_network_that_is_down_is_not_found_until_it_is_up(world: World) -> None:
    world.join("device", "Home", "correct horse")
    world.take_down("Home")
    assert _cause(world, "device", "Home", "correct horse") == "not_found"
    assert "Home" not in [n.ssid for n in world.scan("device")]
    world.bring_up("Home")
    world.join("device", "Home", "correct horse")


def test_unknown_network_cannot_be_changed(world: World) -> None:
    for change in (world.take_down, world.bring_up):
        with pytest.raises(NotFound):
            change("Nowhere")
    with pytest.raises(NotFound):
        world.set_passphrase("Nowhere", "battery staple")
    with pytest.raises(Conflict):
        world.set_passphrase("mobile", "battery staple")
