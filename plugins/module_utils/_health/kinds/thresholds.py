# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the metrics kind compares, and what is too much. This file is PRIVATE to the collection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional, Pattern

from ..spec.options import Options

ERRORS = "5.."
_WINDOW = 2.0
_NAMES = (
    "window",
    "min_requests",
    "labels",
    "requests",
    "status_label",
    "errors",
    "max_error_ratio",
    "warn_error_ratio",
    "histogram",
    "quantile",
    "max_quantile",
    "warn_quantile",
)


@dataclass(frozen=True)
class Thresholds:
    """Which counters are compared, over how long, and what is too much."""

    window: float = _WINDOW
    min_requests: float = 20
    labels: tuple[tuple[str, str], ...] = ()
    requests: Optional[str] = None
    status_label: str = "code"
    errors: Pattern[str] = re.compile(ERRORS)
    max_error_ratio: Optional[float] = None
    warn_error_ratio: Optional[float] = None
    histogram: Optional[str] = None
    quantile: float = 0.99
    max_quantile: Optional[float] = None
    warn_quantile: Optional[float] = None


def parse_thresholds(options: Options) -> Thresholds:
    nested = options.nested("metrics")
    if nested is None:
        raise options.error("metrics", "is missing", "say what to compare: requests or histogram, and a threshold")
    nested.only(_NAMES)
    thresholds = _parse_values(nested)
    _refuse_aimless(nested, thresholds)
    return thresholds


def _parse_values(nested: Options) -> Thresholds:
    return Thresholds(
        window=nested.seconds("window", _WINDOW, above=True),
        min_requests=nested.seconds("min_requests", 20.0, 1.0),
        labels=nested.pairs("labels"),
        requests=nested.text("requests"),
        status_label=nested.text("status_label") or "code",
        errors=nested.pattern("errors") or re.compile(ERRORS),
        max_error_ratio=nested.number("max_error_ratio", None, 0),
        warn_error_ratio=nested.number("warn_error_ratio", None, 0),
        histogram=nested.text("histogram"),
        quantile=nested.seconds("quantile", 0.99, 0.0, above=True),
        max_quantile=nested.number("max_quantile", None, 0, above=True),
        warn_quantile=nested.number("warn_quantile", None, 0, above=True),
    )


def _refuse_aimless(nested: Options, thresholds: Thresholds) -> None:
    ratio = thresholds.max_error_ratio is not None or thresholds.warn_error_ratio is not None
    quantile = thresholds.max_quantile is not None or thresholds.warn_quantile is not None
    if not ratio and not quantile:
        raise nested.error("max_error_ratio", "and max_quantile are both missing", "give a threshold to judge by")
    if ratio and thresholds.requests is None:
        raise nested.error("requests", "is missing", "name the counter of requests, such as http_requests_total")
    if quantile and thresholds.histogram is None:
        raise nested.error("histogram", "is missing", "name the histogram, such as http_request_duration_seconds")
    if thresholds.quantile >= 1:
        raise nested.error("quantile", f"is {thresholds.quantile:g}", "give a number between 0 and 1, such as 0.99")
