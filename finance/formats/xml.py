"""Foreign XML becomes a small tree of our own, or is refused (X42, S57, S58).

Rules
    * The size is checked first, then the encoding (strict, a short list), then the prolog: any DOCTYPE ends
      the reading before a parser has seen a declaration or an entity.
    * Markup is counted before parsing, so that memory stays bounded for five million bytes of `<a/>`.
    * libxml2 runs without entities, network, DTD loading and huge trees; our own counter bounds the depth.
    * Comments and processing instructions are ignored; XInclude and schema locations are never followed.
    * Namespaces are matched by their address; prefixes mean nothing (X12).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from lxml import etree

from finance.formats.values import excerpt

XML_SIZE_MAX_BYTES: Final = 5 * 1024 * 1024
"""One XML document (X42, S57)."""

XML_DEPTH_MAX: Final = 64
"""Element levels. UBL needs 9; deeper input only serves attacks on recursive walkers (S58)."""

XML_MARKUP_MAX: Final = 400_000
"""Signs `<` and `=` in one document: a bound on nodes, so on memory. A dense invoice of 5 MiB has 300,000."""

XML_ATTRIBUTES_MAX: Final = 256
"""Attributes of one element: libxml2 takes quadratic time over them, and invoices have four."""

_ENCODINGS: Final[Mapping[str, str]] = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "iso-8859-1",
    "iso-8859-15": "iso-8859-15",
    "windows-1252": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "utf-16": "utf-16",
}
_DECLARATION: Final = re.compile(rb"""<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")


class Refused(Exception):
    """A file is not read at all. `rule` and `message` become the one issue of the result."""

    def __init__(self, rule: str, message: str, *, line: int = 0, column: int = 0, **values: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.line = line
        self.column = column
        self.values = values


class Node:
    """An element: name with a known prefix (`cbc:ID`) or `{address}ID`, attributes, text, children.

    An attribute of a namespace is named `{address}local`, so it cannot pass for a plain one.

    `ordinal` counts equal names below one parent from 1; it is 0 where the name occurs once.
    `used` marks what a reader has taken into the model; what stays unmarked ends up in `extras` (X3).
    """

    __slots__ = ("attributes", "children", "line", "name", "ordinal", "parent", "text", "used")

    def __init__(self, name: str, parent: Node | None, line: int, attributes: dict[str, str]) -> None:
        self.name = name
        self.parent = parent
        self.line = line
        self.attributes = attributes
        self.text = ""
        self.children: list[Node] = _NO_CHILDREN
        self.used = False
        self.ordinal = 0

    def add(self, child: Node) -> None:
        """Append `child`; the empty list that all leaves share is never touched."""
        if self.children:
            self.children.append(child)
        else:
            self.children = [child]

    def all(self, name: str) -> list[Node]:
        """Return the children of that name, in document order."""
        return [child for child in self.children if child.name == name]

    def first(self, path: str) -> Node | None:
        """Return the first element at `path` (names joined by `/`), or None."""
        node: Node | None = self
        for name in path.split("/"):
            if node is None:
                return None
            node = next((child for child in node.children if child.name == name), None)
        return node

    def walk(self) -> Iterator[Node]:
        """Yield this element and all below it in document order, without recursion."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def path(self) -> str:
        """Return the path from the root; a repeated element carries its 1-based number."""
        parts: list[str] = []
        node: Node | None = self
        while node is not None:
            name = node.name.rpartition("}")[2]
            parts.append(f"{name}[{node.ordinal}]" if node.ordinal else name)
            node = node.parent
        return "/" + "/".join(reversed(parts))


_NO_CHILDREN: Final[list[Node]] = []
_NO_ATTRIBUTES: Final[dict[str, str]] = {}


def parse(data: bytes, prefixes: Mapping[str, str]) -> Node:
    """Return the root of `data`, or raise `Refused`.

    `prefixes` maps namespace addresses to the prefix that names get; an address mapped to `""` gives the bare
    local name. Other namespaces give `{address}name`. Runs in time linear in the input.
    """
    text = decode(data)
    _refuse_doctype(text)
    if text.count("<") + text.count("=") > XML_MARKUP_MAX:
        raise Refused("X42", "too_much_markup", limit=str(XML_MARKUP_MAX))
    _refuse_crowded_tags(text)
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        recover=False,
    )
    try:
        root = etree.fromstring(text.encode("utf-8"), parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        reason = excerpt((error.msg or "").rpartition(", line ")[0], 160)
        raise Refused("X42", "not_well_formed", line=line, column=column, reason=reason) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise Refused("X42", "doctype")
    return _tree(root, prefixes)


def decode(data: bytes) -> str:
    """Return the text of an XML file: byte order mark, then the declaration, then UTF-8; always strict."""
    if len(data) > XML_SIZE_MAX_BYTES:
        raise Refused("X42", "too_large", size=str(len(data)), limit=str(XML_SIZE_MAX_BYTES))
    if not data.strip():
        raise Refused("X42", "empty_file")
    if data.startswith(b"\xef\xbb\xbf"):
        name = "utf-8-sig"
    elif data.startswith((b"\xff\xfe", b"\xfe\xff")):
        name = "utf-16"
    else:
        declared = _DECLARATION.match(data)
        label = declared.group(1).decode("ascii").lower() if declared else "utf-8"
        if label not in _ENCODINGS or label == "utf-16":
            raise Refused("X42", "unknown_encoding", encoding=label)
        name = _ENCODINGS[label]
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refused("X42", "wrong_encoding", line=line, encoding=name, position=str(error.start)) from None
    if "\x00" in text:
        raise Refused("X42", "nul_character", line=text.count("\n", 0, text.index("\x00")) + 1)
    return text


def root_name(text: str) -> str:
    """Return the raw name of the first element of `text` without parsing it, or `""` if there is none."""
    position = _prolog_end(text)
    match = _ROOT.match(text, position)
    return match.group(1) if match else ""


_ATTRIBUTE: Final = re.compile(r"""=\s*["']""")
_ROOT: Final = re.compile(r"<([^\s/>!?<]{1,200})")


def _refuse_doctype(text: str) -> None:
    position = _prolog_end(text)
    if text[position : position + 2] == "<!":
        line = text.count("\n", 0, position) + 1
        raise Refused("X42", "doctype", line=line)


def _refuse_crowded_tags(text: str) -> None:
    """Refuse an element with too many attributes: between two `<` there is at most one tag."""
    line = 1
    for piece in text.split("<"):
        if piece.count("=") > XML_ATTRIBUTES_MAX and len(_ATTRIBUTE.findall(piece)) > XML_ATTRIBUTES_MAX:
            raise Refused("X42", "too_many_attributes", line=line, limit=str(XML_ATTRIBUTES_MAX))
        line += piece.count("\n")


def _prolog_end(text: str) -> int:
    """Return the position of the first `<` that opens neither a comment nor a processing instruction."""
    position = 0
    while True:
        start = text.find("<", position)
        if start < 0:
            return len(text)
        if text.startswith("<?", start):
            end, skip = text.find("?>", start), 2
        elif text.startswith("<!--", start):
            end, skip = text.find("-->", start + 4), 3
        else:
            return start
        if end < 0:
            return len(text)
        position = end + skip


def _number(children: list[Node]) -> None:
    """Give elements of the same name their 1-based numbers; a name that occurs once keeps 0."""
    if len(children) < 2:
        return
    last: dict[str, Node] = {}
    for child in children:
        before = last.get(child.name)
        if before is not None:
            before.ordinal = before.ordinal or 1
            child.ordinal = before.ordinal + 1
        last[child.name] = child


def _tree(root: Any, prefixes: Mapping[str, str]) -> Node:
    """Copy an lxml tree into nodes, counting levels; `root` is an lxml element (untyped library)."""
    names: dict[str, str] = {}
    node: Node | None = None
    top: Node | None = None
    depth = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "end":
            depth -= 1
            if node is not None:
                _number(node.children)
                node = node.parent
            if node is not None and (tail := element.tail) and (tail := tail.strip()):
                node.text = f"{node.text} {tail}".strip()  # mixed content has no place in such files; it is not lost
            continue
        depth += 1
        if depth > XML_DEPTH_MAX:
            raise Refused("X42", "too_deep", line=element.sourceline or 0, limit=str(XML_DEPTH_MAX))
        tag = element.tag
        if not isinstance(tag, str):  # an entity reference: without a DOCTYPE libxml2 refuses it before us
            raise Refused("X42", "entity", line=element.sourceline or 0)
        name = names.get(tag)
        if name is None:
            address, _, local = tag[1:].rpartition("}") if tag[0] == "{" else ("", "", tag)
            prefix = prefixes.get(address)
            name = tag if prefix is None else f"{prefix}:{local}" if prefix else local
            names[tag] = name
        child = Node(name, node, element.sourceline or 0, dict(element.items()) or _NO_ATTRIBUTES)
        child.text = (element.text or "").strip()
        if node is None:
            top = child
        else:
            node.add(child)
        node = child
    if top is None:
        raise Refused("X42", "empty_file")
    return top
