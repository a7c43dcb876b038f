"""When requests arrive: fixed before the run begins, so that a slow server can't slow them down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def schedule(
    rate: float, seconds: float, *, kind: Literal["poisson", "constant"], seed: int
) -> npt.NDArray[np.float64]:
    """Return the moments of all arrivals, in order, seconds from the start.

    Args:
        rate: Requests a second, on average.
        seconds: The last arrival comes before.
        kind: ``poisson``: independent of each other, as from many users; ``constant``: one gap.
        seed: Of ``poisson``; for ``constant`` it shifts the first arrival within the gap.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    if kind == "constant":
        return np.arange(random.random() / rate, seconds, 1 / rate)
    many = random.poisson(rate * seconds)  # given their number, Poisson arrivals are uniform
    return np.sort(random.uniform(0, seconds, many))
