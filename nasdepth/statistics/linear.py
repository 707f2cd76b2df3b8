"""What every statistic of the package shares: projections, groups, Fisher's z.

A statistical file takes its least squares from here, so that all of them agree on
which columns are independent and on what is a residual and what is rounding.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

Vector: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[np.int64]
Interval: TypeAlias = tuple[float, float]
Groups: TypeAlias = Sequence[object] | npt.NDArray[np.generic]

# Of a vector's norm, what least squares leaves by rounding alone.
ROUNDING = 1e-7
# Draws per block times columns: bounds memory at about 32 MB an array.
BLOCK = 4_000_000


def basis(covariates: Sequence[Vector], n: int) -> Vector:
    """Orthonormal basis of the constant and the covariates, dependent ones left out.

    The first column is the constant; its shape is `(n, rank)`.
    """
    found = np.full((n, 1), 1 / math.sqrt(n))
    for covariate in covariates:
        left, _ = residual(covariate, found)
        if left.any():
            found = np.column_stack([found, left / np.linalg.norm(left)])
    return found


def residual(values: Vector, basis: Vector) -> tuple[Vector, float]:
    """What the basis leaves of the values, and the share of their variance in it.

    Projected twice, so that what is left is orthogonal to rounding error; exactly 0
    where only rounding error is left.
    """
    centred = values - values.mean()
    total = float(np.linalg.norm(centred))
    if is_constant(values):
        return np.zeros_like(centred), 0.0
    left = centred - basis @ (basis.T @ centred)
    left -= basis @ (basis.T @ left)
    share = float(np.linalg.norm(left)) / total
    if share < ROUNDING:
        return np.zeros_like(centred), 0.0
    return left, share**2


def is_constant(values: Vector) -> bool:
    """Whether the values differ by rounding error alone."""
    return bool(np.ptp(values) <= ROUNDING * np.max(np.abs(values)))


def group_codes(groups: Groups | None, n: int) -> tuple[Codes, int]:
    """Number of each row's group by first appearance, and how many groups there are.

    Args:
        groups: One hashable label per row; None makes every row its own group.
        n: Rows.

    Raises:
        ValueError: There is not one label per row.
    """
    if groups is None:
        return np.arange(n), n
    if len(groups) != n:
        raise ValueError(f"groups must hold one label per row, {n}, not {len(groups)}.")
    labels = groups.tolist() if isinstance(groups, np.ndarray) else groups
    known: dict[object, int] = {}
    codes = [known.setdefault(label, len(known)) for label in labels]
    return np.array(codes, dtype=np.int64), len(known)


def group_sums(columns: Vector, codes: Codes, count: int) -> Vector:
    """Sum over the rows of each group, along the first axis."""
    if count == len(codes):
        return columns
    sums = np.zeros((count, *columns.shape[1:]))
    np.add.at(sums, codes, columns)
    return sums


def tanh_interval(value: float, error: float, level: float) -> Interval:
    """Interval of a correlation whose Fisher z has the given standard error."""
    centre = math.atanh(min(max(value, -1 + 1e-15), 1 - 1e-15))
    half = float(stats.norm.isf(level / 2)) * error
    return math.tanh(centre - half), math.tanh(centre + half)
