"""The monitor: what it measures, and when its alarm sounds."""

import cbor2
import pytest

from admittance.device.applications import Caller, Request
from admittance.device.applications.loading import load
from admittance.device.applications.monitor import ALARM, MEASUREMENTS, Alarm
from admittance.errors import ConfigurationError, Malformed
from admittance.wire import senml
from admittance.wire.coap import formats

CALLER = Caller(bytes(8), "guest", "nurse")


async def test_it_measures() -> None:
    measured = await load("monitor").resources[MEASUREMENTS].handler(Request("GET", MEASUREMENTS, CALLER))
    assert measured.content_format == formats.SENML_CBOR
    records = {record.name: record.value for record in senml.decode(measured.payload)}
    assert records.keys() == {"heart-rate", "oxygen-saturation", "temperature"}
    assert 60 < float(records["heart-rate"]) < 80


async def test_the_alarm_is_set() -> None:
    alarm = load("monitor").resources[ALARM].handler
    change = cbor2.dumps({"lowest": 80, "highest": 110})
    set_ = cbor2.loads((await alarm(Request("PUT", ALARM, CALLER, change))).payload)
    assert set_ == {"lowest": 80, "highest": 110, "silenced": False, "sounding": True}
    silenced = cbor2.loads((await alarm(Request("PUT", ALARM, CALLER, cbor2.dumps({"silenced": True})))).payload)
    assert silenced["sounding"] is False
    assert cbor2.loads((await alarm(Request("GET", ALARM, CALLER))).payload) == silenced


@pytest.mark.parametrize(
    "changes",
    [{}, [], {"loud": True}, {"lowest": 130}, {"highest": 50}, {"lowest": True}, {"silenced": 1}, {"lowest": 1}],
)
def test_what_is_no_alarm_changes_nothing(changes: object) -> None:
    alarm = Alarm()
    with pytest.raises(Malformed):
        alarm.change(changes)
    assert alarm == Alarm()


def test_it_takes_no_argument() -> None:
    with pytest.raises(ConfigurationError):
        load("monitor:loud")
