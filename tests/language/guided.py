"""Drive a fuzz target by coverage: `python -m tests.language.guided scan|parse|arguments [options of libFuzzer] [folder]`.

`atheris` is no dependency of the project: install it where it has a wheel. Only the compiler is instrumented, so that
it is imported here and nowhere before.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys


def main(given: list[str]) -> int:
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install atheris, or run tests.language.targets by a seed", file=sys.stderr)
        return 1
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["contracts"]):
        targets = importlib.import_module("tests.language.targets")
    atheris.Setup([sys.argv[0], *given[1:]], targets.TARGETS[given[0]])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
