"""The training stage: data, networks, recipes and evaluation. Needs the extra `training`."""
