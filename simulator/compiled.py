"""Whether the core runs compiled (`scripts/compiled`): same steps, same traces, sooner.

What changes the source of single functions while a process lives, or counts their branches, sees nothing of code that
runs in C, and must say so.
"""

from __future__ import annotations

from pathlib import Path

import consensus.replica
from simulator.errors import InvalidScenario


def core_compiled() -> bool:
    """Tell whether consensus is an extension module in this process."""
    return Path(consensus.replica.__file__).suffix != ".py"


def sources_only(what: str) -> None:
    """Raise `InvalidScenario` if the core is compiled: `what` needs the sources."""
    if core_compiled():
        raise InvalidScenario(
            what, "this works on the sources of the core, which are not what runs here: run it without scripts/compiled"
        )
