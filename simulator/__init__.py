"""The same node core in virtual time under a fake world. Door: `simulator.world.World(scenario, seed).run()`."""
