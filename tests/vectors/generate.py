"""Make the vectors in `admittance/`: ``python -m tests.vectors.generate`` writes the same bytes each time.

Keys and randomness come from labels. `independent.py` checks the result without our code.
"""

import json
from pathlib import Path

from tests.vectors.making.enrolment import enrolment_vectors, reset_vectors
from tests.vectors.making.evidence import evidence_vectors
from tests.vectors.making.network import network_vectors
from tests.vectors.making.offline import epoch_list_vectors, offline_vectors
from tests.vectors.making.possession import possession_vectors
from tests.vectors.making.readings import readings_vectors
from tests.vectors.making.sealed import sealed_vectors

FOLDER = Path(__file__).with_name("admittance")


def files() -> dict[str, str]:
    """The text of each file."""
    built = {
        "sealed.json": sealed_vectors(),
        "evidence.json": evidence_vectors(),
        "network.json": network_vectors(),
        "enrolment.json": enrolment_vectors(),
        "reset.json": reset_vectors(),
        "readings.json": readings_vectors(),
        "offline.json": offline_vectors(),
        "epoch_list.json": epoch_list_vectors(),
        "possession.json": possession_vectors(),
    }
    return {name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in built.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)
