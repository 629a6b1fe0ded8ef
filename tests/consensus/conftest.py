"""Makes the message-passing harness importable from the tests of this folder; runs whole modules at several windows."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=[1, 2, 4], ids="W{}".format)
def window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let every world of the test that names no parameters keep so many blocks in flight (slice 2)."""
    import pbft_harness

    monkeypatch.setattr(pbft_harness, "WINDOW", request.param)
    return request.param
