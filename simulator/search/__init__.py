"""Looking for histories that break a rule: swarm exploration and shrinking. Door: `explore.explore`."""
