import datetime
from pathlib import Path

from admittance.client.scan import read_picture
from admittance.maker.authority import Maker
from admittance.maker.labels import write_label, write_sheet
from admittance.maker.making import BatchPlan, MadeDevice, make_batch
from admittance.wire.setup_code import SetupCode, decode_ndef, parse_url

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
PLAN = BatchPlan(model="plug-1", presence="button", seal="symmetric", certified=False, algorithm="p256")


def made(maker: Maker, out: Path, count: int = 1) -> list[MadeDevice]:
    return list(make_batch(maker, PLAN, count, out, NOW))


def test_another_reader_reads_the_setup_code_off_the_picture(maker: Maker, tmp_path: Path) -> None:
    [device] = made(maker, tmp_path / "out")
    write_label(device)
    text = read_picture(device.directory / "label.png")
    assert parse_url(text) == SetupCode("https://localhost:8443", device.device_id)


def test_the_nfc_tag_says_the_same(maker: Maker, tmp_path: Path) -> None:
    [device] = made(maker, tmp_path / "out")
    write_label(device)
    tag = decode_ndef((device.directory / "label.ndef").read_bytes())
    assert tag == SetupCode("https://localhost:8443", device.device_id)


def test_labels_hold_no_secret_and_come_out_the_same_again(maker: Maker, tmp_path: Path) -> None:
    [device] = made(maker, tmp_path / "out")
    write_label(device)
    first = (device.directory / "label.png").read_bytes()
    write_label(device)
    assert (device.directory / "label.png").read_bytes() == first


def test_a_sheet_has_fourteen_labels_a_page(maker: Maker, tmp_path: Path) -> None:
    labels = [write_label(device) for device in made(maker, tmp_path / "out", 2)]
    assert write_sheet(labels * 8, tmp_path / "labels.pdf") == 2
    assert (tmp_path / "labels.pdf").read_bytes().startswith(b"%PDF-")
