"""Benchmarks are scripts, which import those beside them by their bare names: so do the tests."""

import sys
from pathlib import Path

import pipeline

sys.path.append(str(Path(pipeline.__file__).parent.parent / "benchmarks"))
