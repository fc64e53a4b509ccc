"""The whole analysis as JSON, for programs: the names are the fields' of `Analysis`, missing is null."""

import json
import math
from dataclasses import asdict
from typing import Any

from bench.analysis.analyse import Analysis


def to_json(analysis: Analysis) -> str:
    """One JSON object, with its line end; figures as they were computed, not as they are shown."""
    return json.dumps(_plain(asdict(analysis)), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
