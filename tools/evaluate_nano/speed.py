"""How long nano takes on one core."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_TIMES = 30


def _median_ms(call: Callable[[], Any]) -> float:
    call()
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1000.0)
    return statistics.median(times)


def measure(predictor: Any) -> tuple[float, float]:
    """Median milliseconds to encode an image and to decode a click, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    encode = _median_ms(lambda: predictor.set_image(image))
    point, label = np.array([(100, 100)]), np.array([1])
    decode = _median_ms(lambda: predictor.predict(point, label))
    torch.set_num_threads(threads)
    return encode, decode
