"""Reading scenario files: TOML, strict, with exact decimals, and errors that name the nearest known key (M21)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import msgspec

from ledger.errors import InvalidGenesis
from ledger.params import Params
from simulator.errors import InvalidScenario
from simulator.league import company_names
from simulator.scenario.schema import Action, Byzantine, Scenario
from simulator.scenario.units import duration_ns

SUFFIX = ".toml"
NODES_MAX = 512
PLACES = ("primary", "backup", "third", "fourth")
"""Names for the company that proposes when the action begins, and for those after it in the rotation."""
TWIN = "-twin"
"""Suffix of the name of the second process of a company that runs twins."""
CHANGES = ("join", "claim", "leave", "expel", "rekey", "rest", "return", "policy")
"""What the workload `members` does: `claim` is a newcomer that says `ready` before its node has any block, `rekey` a
member that votes with another key from the next epoch on, `policy` the vote, which a member proposes, that companies
proven to have broken the rules rest from then on (P125)."""
SWARM = "86-swarm"
"""Name of the scenario that is drawn anew for each seed; it has no file."""
ACTIONS = tuple(sorted(str(kind.__struct_config__.tag) for kind in get_args(Action)))
"""Names that `do` may have."""


def shipped() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the package."""
    folder = files("simulator.scenario") / "shipped"
    return tuple(sorted(entry.name.removesuffix(SUFFIX) for entry in folder.iterdir() if entry.name.endswith(SUFFIX)))


def catalogue() -> tuple[str, ...]:
    """Return the names of the numbered core scenarios of the protocol, in order."""
    folder = files("simulator.scenario") / "catalogue"
    return tuple(sorted(entry.name.removesuffix(SUFFIX) for entry in folder.iterdir() if entry.name.endswith(SUFFIX)))


def load(source: str, overrides: Sequence[str] = (), seed: int | None = None) -> Scenario:
    """Return the scenario of a file, or the one of that name; `overrides` are `table.key=value`."""
    known = dict.fromkeys(shipped(), "shipped") | dict.fromkeys(catalogue(), "catalogue")
    path = Path(source)
    if path.suffix == SUFFIX and path.is_file():
        text = path.read_text(encoding="utf-8")
    elif source in known:
        text = (files("simulator.scenario") / known[source] / f"{source}{SUFFIX}").read_text(encoding="utf-8")
    else:
        numbered = [name for name in known if name.startswith(f"{source.zfill(2)}-")]
        near = numbered or get_close_matches(source, known, 1)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else f"; shipped are {', '.join(shipped())}"
        raise InvalidScenario("", f"{source!r} is neither a {SUFFIX} file nor a shipped scenario{hint}")
    return parse(text, overrides, seed)


def parse(text: str, overrides: Sequence[str] = (), seed: int | None = None) -> Scenario:
    """Return the checked scenario of TOML `text`."""
    try:
        tree = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise InvalidScenario("", f"not TOML: {error}") from None
    for override in overrides:
        _override(tree, override)
    if seed is not None:
        tree["seed"] = seed
    try:
        scenario = msgspec.convert(tree, Scenario, strict=True, dec_hook=_decimal)
    except msgspec.ValidationError as error:
        raise _explained(str(error), tree) from None
    check(scenario)
    return scenario


def check(scenario: Scenario) -> None:
    """Raise `InvalidScenario` for values that the types alone do not refuse."""
    nodes = scenario.network.nodes
    if not 1 <= nodes <= NODES_MAX:
        raise InvalidScenario("network.nodes", f"{nodes} is outside 1 to {NODES_MAX}")
    if scenario.network.names and len(scenario.network.names) != nodes:
        raise InvalidScenario("network.names", f"{len(scenario.network.names)} names for {nodes} nodes")
    if not 0 <= scenario.network.joining <= NODES_MAX - nodes:
        raise InvalidScenario("network.joining", f"{scenario.network.joining} is outside 0 to {NODES_MAX - nodes}")
    for position, workload in enumerate(scenario.workload):
        for change in workload.changes:
            kind, _, company = change.partition(":")
            if kind not in CHANGES or company not in (*names(scenario), *joiners(scenario)):
                raise InvalidScenario(
                    f"workload[{position}].changes", f"{change!r} is none of {', '.join(CHANGES)} with a company"
                )
    duration_ns(scenario.duration, "duration")
    try:
        params(scenario).check()
    except InvalidGenesis as error:
        raise InvalidScenario(error.field.replace("parameters.", "consensus."), error.reason) from None
    twins = [
        f"{action.node}{TWIN}"
        for action in scenario.at
        if isinstance(action, Byzantine) and action.behaviour == "twins"
    ]
    known = (*names(scenario), *joiners(scenario), *twins, *PLACES, "*")
    for position, action in enumerate(scenario.at):
        field = f"at[{position}]"
        duration_ns(action.t, f"{field}.t")
        for name in _named(action):
            if name not in known:
                raise InvalidScenario(field, f"no company is called {name!r}; there are {', '.join(names(scenario))}")


def names(scenario: Scenario) -> tuple[str, ...]:
    """Return the names of the companies of genesis, in the order in which they propose."""
    return scenario.network.names or company_names(scenario.network.nodes)


def joiners(scenario: Scenario) -> tuple[str, ...]:
    """Return the names of the companies that are no members yet."""
    network = scenario.network
    return company_names(network.nodes + network.joining)[network.nodes :]


def params(scenario: Scenario) -> Params:
    """Return the consensus parameters: the table `[consensus]` over the defaults."""
    fields = Params.__struct_fields__
    for key in scenario.consensus:
        if key not in fields:
            raise InvalidScenario(f"consensus.{key}", _nearest(key, fields))
    values = dict(scenario.consensus)
    if "status_ms" in values:
        values.setdefault("suspect_ttl_ms", 3 * values["status_ms"])
    return msgspec.structs.replace(Params(), **values)


def describe(scenario: Scenario) -> str:
    """Return the scenario as TOML that `parse` reads back; used for failures that are worth keeping."""
    tree = msgspec.to_builtins(scenario, builtin_types=(Decimal,))
    lines: list[str] = [f"schema = {_toml(scenario.schema)}"]
    tables: list[str] = []
    for key, value in tree.items():
        if key == "schema":
            continue
        if isinstance(value, dict):
            tables.append(f"\n[{key}]")
            tables += [f"{name} = {_toml(item)}" for name, item in value.items()]
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
            lines.append(f"{key} = [")
            lines += [f"  {_toml(item)}," for item in value]
            lines.append("]")
        else:
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _decimal(kind: type, value: Any) -> Any:
    if kind is Decimal and isinstance(value, (int, str)):
        return Decimal(value)
    raise NotImplementedError


def _named(action: Action) -> list[str]:
    found: list[str] = []
    for field in ("node", "source", "target"):
        value = getattr(action, field, None)
        if isinstance(value, str):
            found.append(value)
    for group in getattr(action, "groups", ()):
        found += group
    return found


def _override(tree: dict[str, Any], text: str) -> None:
    key, separator, value = text.partition("=")
    if not separator:
        raise InvalidScenario(text, "an override has the form table.key=value")
    try:
        parsed: Any = tomllib.loads(f"value = {value}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    place: Any = tree
    *path, last = key.strip().split(".")
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise InvalidScenario(key, "does not name a value of a table")
    place[last] = parsed


def _explained(message: str, tree: Mapping[str, Any]) -> InvalidScenario:
    """Turn msgspec's message into one that names the field and the nearest known key."""
    what, _, where = message.partition(" - at `$")
    field = where.rstrip("`").lstrip(".")
    if "unknown field" in what:
        unknown = what.split("`")[1]
        return InvalidScenario(f"{field}.{unknown}".lstrip("."), _nearest(unknown, _fields_at(field, tree)))
    if field.endswith(".do"):
        return InvalidScenario(field, _nearest(what.split("'")[1], ACTIONS).replace("key", "action"))
    return InvalidScenario(field, what[:1].lower() + what[1:])


def _fields_at(field: str, tree: Mapping[str, Any]) -> Sequence[str]:
    first = field.split(".")[0].split("[")[0]
    if not first:
        return Scenario.__struct_encode_fields__
    if first == "at":
        found: dict[str, None] = {}
        for kind in get_args(Action):
            found.update(dict.fromkeys(kind.__struct_encode_fields__))
        return tuple(found)
    schema = msgspec.json.schema(Scenario)["$defs"]
    table = _TABLES.get(first)
    return tuple(schema[table]["properties"]) if table in schema else tuple(tree)


_TABLES = {
    "network": "NetworkTable",
    "time": "TimeTable",
    "disk": "DiskTable",
    "shell": "ShellTable",
    "expect": "Expect",
    "workload": "Workload",
    "random_faults": "RandomFaults",
    "caption": "Caption",
}
"""Name of the record behind each table of a scenario file."""


def _nearest(key: str, known: Sequence[str]) -> str:
    near = get_close_matches(key, known, 1)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known are {', '.join(known)}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
