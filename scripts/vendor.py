#!/usr/bin/env python3
"""Vendored browser files: fetch them by the lock, or check that the files on disk are those of the lock (U50).

    scripts/vendor.py --check                 compare sha384 of every file with vendor.lock.json (what tests do)
    scripts/vendor.py                         fetch the locked versions with the npm client and rewrite the files
    scripts/vendor.py --set htmx.org=4.0.1    change a locked version first, then fetch and rewrite the lock

The package's integrity value is compared with the archive before anything is unpacked. No script of a package
is ever run; only the files named in the lock are taken out.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "node" / "web" / "static" / "vendor"
LOCK = FOLDER / "vendor.lock.json"
FILE_LIMIT_BYTES = 1024 * 1024
FETCH_LIMIT_S = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare the files with the lock")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VERSION", help="lock another version")
    options = parser.parse_args()
    lock = json.loads(LOCK.read_text("utf-8"))
    if options.check:
        problems = check(lock)
        for problem in problems:
            print(problem, file=sys.stderr)
        return 10 if problems else 0
    wanted = dict(entry.split("=", 1) for entry in options.set)
    for package in lock["packages"]:
        if package["name"] in wanted:
            package["version"] = wanted.pop(package["name"])
            package["integrity"] = ""
        fetch(package)
    if wanted:
        print(f"not in the lock: {', '.join(sorted(wanted))}", file=sys.stderr)
        return 2
    LOCK.write_text(json.dumps(lock, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"wrote {LOCK}")
    return 0


def check(lock: dict[str, Any]) -> list[str]:
    """Return what differs between the lock and the folder; empty when they agree."""
    problems, known = [], {LOCK.name}
    for package in lock["packages"]:
        for file in package["files"]:
            path = FOLDER / file["file"]
            known.add(path.name)
            if not path.is_file():
                problems.append(f"{path.name} is missing: run scripts/vendor.py")
            elif sha384(path.read_bytes()) != file["sha384"]:
                problems.append(f"{path.name} is not the locked file: run scripts/vendor.py")
    problems += [f"{path.name} is not in the lock" for path in sorted(FOLDER.iterdir()) if path.name not in known]
    return problems


def fetch(package: dict[str, Any]) -> None:
    """Fetch one package with the npm client, check it, and take out the locked files."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("the npm client is not installed; it is only needed to change vendored files")
    with tempfile.TemporaryDirectory() as folder:
        reply = subprocess.run(  # noqa: S603  # fixed command, name and version come from the lock
            [npm, "pack", "--json", "--ignore-scripts", f"{package['name']}@{package['version']}"],
            cwd=folder, check=True, capture_output=True, timeout=FETCH_LIMIT_S,
        )  # fmt: skip
        archive = Path(folder) / json.loads(reply.stdout)[0]["filename"]
        data = archive.read_bytes()
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode("ascii")
        if package["integrity"] and package["integrity"] != integrity:
            raise SystemExit(f"{package['name']} {package['version']}: the archive is not the locked one")
        package["integrity"] = integrity
        with tarfile.open(archive) as tar:
            manifest = json.loads(_member(tar, "package/package.json"))
            package["licence"] = manifest["license"]
            for file in package["files"]:
                content = _member(tar, "package/" + file["source"])
                (FOLDER / file["file"]).write_bytes(content)
                file["sha384"] = sha384(content)
                print(f"{package['name']} {package['version']}  {file['file']}  {len(content):,} bytes")


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    found = tar.extractfile(name)
    if found is None:
        raise SystemExit(f"the package has no file {name}")
    with found:
        content = found.read(FILE_LIMIT_BYTES + 1)
    if len(content) > FILE_LIMIT_BYTES:
        raise SystemExit(f"{name} is larger than 1 MiB")
    return content


def sha384(data: bytes) -> str:
    """Return the hash in the form browsers use for subresource integrity."""
    return "sha384-" + base64.b64encode(hashlib.sha384(data).digest()).decode("ascii")


if __name__ == "__main__":
    sys.exit(main())
