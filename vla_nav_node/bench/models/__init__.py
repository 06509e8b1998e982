"""Policies measured on every backend, precision and device."""
