"""Scenarios: what happens in a run, as data (M21). Door: `load(name_or_path)`; the records are in `schema`."""

from simulator.scenario.load import describe, load, shipped
from simulator.scenario.schema import Scenario

__all__ = ["load", "Scenario", "describe", "shipped"]
