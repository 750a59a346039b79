"""Codes without a row: those that cannot be tried on a lab host, each with its reason, and those that nobody has tried."""

from __future__ import annotations

CANNOT: dict[str, str] = {}
NOT_YET: dict[str, str] = {}
