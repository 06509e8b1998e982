"""Fixtures of the tests of the watch."""

from pathlib import Path

import numpy as np
import pytest

RECORDED = Path(__file__).with_name('recorded_series.csv')


@pytest.fixture(scope='session')
def recorded():
    """Return the medians of each second, ms, by the names of run, rate and time."""
    header, *rows = [line.split(',') for line in RECORDED.read_text().splitlines()]
    return {name: np.array([float(value) for value in column if value])
            for name, column in zip(header, zip(*rows))}
