"""From what was measured to figures; times in ms, memory and sizes in MB (10^6 bytes)."""

from typing import Any, Dict

import numpy as np

from .contender import Contender
from .worker import Span

BUDGETS_MS = (10.0, 20.0)  # the usual control periods
Figures = Dict[str, Any]


def latency(span: Span) -> Figures:
    """Return the figures of a contender's steps."""
    ms = span.ms
    p50, p95, p99 = map(float, np.percentile(ms, (50, 95, 99)))
    mean = float(ms.mean())
    return {'runs': len(ms), 'mean': mean, 'std': float(ms.std()), 'p50': p50, 'p95': p95,
            'p99': p99, 'max': float(ms.max()), 'fps': 1e3 / mean,
            'cpu_ms': span.cpu_ms / len(ms),
            'share': {f'{budget:g}': mean / budget for budget in BUDGETS_MS},
            'misses': {f'{budget:g}': int((ms > budget).sum()) for budget in BUDGETS_MS}}


def device_of(side: Figures) -> str:
    """
    Give cpu or cuda, which is what has to be the same for times to compare.

    torch tells the GPU's name with it and ONNX Runtime does not; both take the first GPU.
    """
    return str(side['device']).split()[0]


def describe(contender: Contender) -> Figures:
    """Tell what a contender really is, and what it holds; ask before it is closed."""
    opened, contestant = contender.opened, contender.contestant
    return {
        'name': contender.name, 'kind': contestant.kind, **opened.info,
        'threads': contestant.threads or 'its own', 'size': list(opened.size),
        'carries_state': opened.carries_state,
        'file': contestant.model_file.name, 'file_mb': contestant.bytes / 1e6,
        'start_s': contender.start_s,
        'memory': {'before': opened.memory_before, 'after': opened.memory_after,
                   'own': opened.memory_after - opened.memory_before,
                   'most': contender.most_memory()}}
