"""What is measured. Each benchmark is a context that gives its contenders; the first one is the yardstick."""

from __future__ import annotations

import calls
import crowds
import floods

BENCHMARKS = {**calls.BENCHMARKS, **crowds.BENCHMARKS, **floods.BENCHMARKS}
"""Every benchmark, by its name."""
