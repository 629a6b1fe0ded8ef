"""Replacing the chain environment as a whole, so that a crash leaves the old one or the new one (P94, B22).

    chain.joining    a snapshot that is being collected; no head record yet, so it is no chain store
    chain.next       a complete environment that replaces `chain`: made under another name, synced, renamed here
    chain.replaced   the old one, about to be deleted

`offer` makes an environment the next one; `settle` lets it take its place and is repeated at every start, so it ends
what a crash interrupted. Every rename is made durable in the folder before the next step.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from node.store.errors import StoreFailed, cause_of, next_step, words_of
from node.store.places import sync_directory


def joining(chain: Path) -> Path:
    """Return where a snapshot for the store in `chain` is collected."""
    return chain.with_name(f"{chain.name}.joining")


def offer(folder: Path, chain: Path) -> None:
    """Make the closed, complete environment in `folder` the next one of `chain`. Raises `StoreFailed`: stop then."""
    following = chain.with_name(f"{chain.name}.next")
    try:
        sync_directory(folder)
        shutil.rmtree(following, ignore_errors=True)
        folder.rename(following)
        sync_directory(chain.parent)
    except OSError as error:
        raise _failure(chain, error) from error


def settle(chain: Path) -> bool:
    """Let the next environment take the place of `chain`, which must be closed; tell whether there was one.

    Raises `StoreFailed` when a rename could not be made durable: the process must end, and the next start goes on.
    """
    try:
        return _settle(chain)
    except OSError as error:
        raise _failure(chain, error) from error


def _settle(chain: Path) -> bool:
    following = chain.with_name(f"{chain.name}.next")
    replaced = chain.with_name(f"{chain.name}.replaced")
    found = following.exists()
    if found:
        if chain.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            chain.rename(replaced)
            sync_directory(chain.parent)
        following.rename(chain)
        sync_directory(chain.parent)
    if replaced.exists():
        shutil.rmtree(replaced)
        sync_directory(chain.parent)
    return found


def _failure(chain: Path, error: OSError) -> StoreFailed:
    cause = cause_of(error, chain.parent)
    return StoreFailed(str(chain), cause, words_of(error), next_step(cause, ""))
