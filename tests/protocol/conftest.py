"""Makes the message-passing harness of `tests/consensus` importable here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "consensus"))
