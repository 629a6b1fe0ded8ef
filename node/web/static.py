"""Style sheets, scripts and pictures, served from the package with their hashes (U50).

Vendored scripts carry the sha384 of `vendor.lock.json` in the page, so a changed file does not run. Addresses have
a part of the hash as version and may be cached for ever.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from aiohttp import web

from node.api.problems import not_found

_TYPES: Final = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain",
    "json": "application/json",
}
FILES: Final = (
    "hansa.css",
    "icon.svg",
    "vendor/htmx.min.js",
    "vendor/hx-sse.min.js",
    "vendor/htmx.LICENSE",
    "vendor/vendor.lock.json",
)
"""Closed list: no path of a request ever reaches the file system (T37)."""


class Asset(NamedTuple):
    """A file with its type, its version (part of the hash) and its integrity value for the page."""

    content: bytes
    content_type: str
    version: str
    integrity: str


@cache
def asset(name: str) -> Asset:
    """Return one shipped file. KeyError for a name that is not in the list."""
    if name not in FILES:
        raise KeyError(name)
    content = files("node.web").joinpath("static", *name.split("/")).read_bytes()
    digest = hashlib.sha384(content).digest()
    return Asset(
        content=content,
        content_type=_TYPES[name.rpartition(".")[2]],
        version=digest.hex()[:12],
        integrity="sha384-" + base64.b64encode(digest).decode("ascii"),
    )


def address(name: str) -> str:
    """Return the address of a file with its version."""
    return f"/static/{name}?v={asset(name).version}"


@cache
def locked_integrity(name: str) -> str:
    """Return the integrity value that the lock file holds for a vendored file."""
    lock = json.loads(asset("vendor/vendor.lock.json").content)
    for package in lock["packages"]:
        for file in package["files"]:
            if f"vendor/{file['file']}" == name:
                return str(file["sha384"])
    raise KeyError(name)


async def serve(request: web.Request) -> web.Response:
    """Answer `/static/{name}`."""
    name = request.match_info["name"]
    if name not in FILES:
        raise not_found()
    found = asset(name)
    cache_control = "public, max-age=31536000, immutable" if request.query.get("v") == found.version else "no-cache"
    headers = {"Cache-Control": cache_control, "ETag": f'"{found.version}"'}
    if request.headers.get("If-None-Match") == f'"{found.version}"':
        return web.Response(status=304, headers=headers)
    return web.Response(body=found.content, content_type=found.content_type, charset="utf-8", headers=headers)
