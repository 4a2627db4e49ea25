"""CoAP content formats (RFC 7252, section 12.3): values of Content-Format and Accept."""

from typing import Final

TEXT: Final = 0
ACE_CBOR: Final = 19
LINK: Final = 40
OCTETS: Final = 42
JSON: Final = 50
CBOR: Final = 60
EDHOC: Final = 64
CID_EDHOC: Final = 65
SENML_CBOR: Final = 112
