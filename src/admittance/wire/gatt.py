"""The GATT service by which apps talk to a device over Bluetooth Low Energy (see `docs/protocol/ble.md`)."""

from typing import Final

SERVICE: Final = "ad017a11-6c0f-4d53-9d5e-1f0c7b3a8e00"
TO_DEVICE: Final = "ad017a11-6c0f-4d53-9d5e-1f0c7b3a8e01"
"""The characteristic that the app writes, with response."""
FROM_DEVICE: Final = "ad017a11-6c0f-4d53-9d5e-1f0c7b3a8e02"
"""The characteristic by which the device notifies."""

ATT_MTU: Final = 247
"""What an app asks for: one link-layer packet of the largest size."""
MIN_ATT_MTU: Final = 200
"""What both must agree on at least, so that a chunk fits into a notification."""
