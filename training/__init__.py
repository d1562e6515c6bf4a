"""The training stage: networks and, later, their recipes. Needs the extra `training`."""
