"""The wild bootstrap-t of one slope, with a sign per row or per group of rows.

Null imposed, restricted residuals rescaled by 1/(1 - leverage), Rademacher signs,
HC3 standard errors (Davidson & Flachaire 2008, doi:10.1016/j.jeconom.2008.08.003;
MacKinnon & White 1985, doi:10.1016/0304-4076(85)90158-7). Rows of one group share a
sign, and the leverage becomes the group's block of the projection: the cluster
jackknife CV3 (Bell & McCaffrey 2002; MacKinnon, Nielsen & Webb 2023,
doi:10.1002/jae.2969), which is HC3 where every group is one row.
"""

import numpy as np
import numpy.typing as npt

from nasdepth.statistics.linear import (
    BLOCK,
    ROUNDING,
    Codes,
    Interval,
    Vector,
    group_sums,
)

# Hypothesised slopes that are tried before the ends are refined by bisection.
_SLOPES = 101
# Leverage above which a group's scores are formed one by one: expanded, they cancel.
_HEAVY = 0.5
# Signs that are all alike give the observed statistic again where every leverage is
# the same; rounding must not decide that tie.
_TIE = 1 - 1e-9


class Design:
    """What the covariates and the predictor alone decide of the test.

    Attributes:
        full: Orthonormal basis of covariates and predictor, the predictor last.
        sums: `(clusters, rank)`, K_g = Q_g' z_g, with z = (I - H_gg)^-1 x in group g
            and H the projection on `full`: z_g' e_g is the group's jackknifed score.
        heavy: Groups of high leverage, at most twice as many as the rank.
        problem: Why the slope has no jackknife, else empty.
    """

    def __init__(self, x: Vector, span: Vector, codes: Codes, clusters: int) -> None:
        self.x, self.codes, self.clusters = x, codes, clusters
        self.full = np.column_stack([span, x])
        trace = self.group(np.sum(self.full**2, axis=1))
        self.heavy = np.flatnonzero(trace > _HEAVY)
        self._own = None if clusters == len(x) else self._products()
        self.problem = ""
        if self._greatest(trace) > 1 - ROUNDING:
            unit = "row" if self._own is None else "group"
            self.problem = f"one {unit} alone decides a coefficient (leverage 1)"
            return
        self._z = self._left_out(x, self.full.shape[1])
        self.sums = self.group(self._z[:, None] * self.full)

    def group(self, columns: Vector) -> Vector:
        """Sums over the rows of each group."""
        return group_sums(columns, self.codes, self.clusters)

    def scores(self, values: Vector) -> Vector:
        """Score z_g' v_g of each group."""
        return self.group(self._z * values)

    def rescaled(self, values: Vector) -> Vector:
        """Restricted residuals as each group's rows have them when left out."""
        return self._left_out(values, self.full.shape[1] - 1)

    def _products(self) -> Vector:
        """`(clusters, rank, rank)`, Q_g' Q_g of each group."""
        return self.group(self.full[:, :, None] * self.full[:, None, :])

    def _greatest(self, trace: Vector) -> float:
        """Greatest leverage of a group: greatest eigenvalue of H_gg."""
        if self._own is None:
            return float(np.max(trace))
        return float(np.max(np.linalg.eigvalsh(self._own)))

    def _left_out(self, values: Vector, rank: int) -> Vector:
        """(I - H_gg)^-1 v in each group, H of the first `rank` columns (Woodbury)."""
        part = self.full[:, :rank]
        if self._own is None:
            return np.asarray(values / (1 - np.sum(part**2, axis=1)))
        inner = self.group(values[:, None] * part)[:, :, None]
        room = np.eye(rank) - self._own[:, :rank, :rank]
        solved = np.linalg.solve(room, inner)[self.codes, :, 0]
        return np.asarray(values + np.sum(part * solved, axis=1))


class WildBootstrap:
    """Test of hypothesised slopes by one set of Rademacher draws.

    The bootstrap response under slope b is s (u - b v), with a sign s per group, u
    and v the rescaled residuals of response and predictor. Its t statistic is
    (a - b c) / sqrt(p - 2 b q + b^2 r) with one a, c, p, q, r per draw, so a further
    slope costs one pass over the draws. p, q and r are sums over groups of products
    of scores s_g t_g - K_g' A, with A the draw's coefficients: as s^2 = 1 they expand
    into products of the signs with a few fixed columns.
    """

    def __init__(
        self,
        y: Vector,
        design: Design,
        generator: np.random.Generator,
        draws: int,
    ) -> None:
        self.slope = float(design.x @ y)
        self.error = float(np.linalg.norm(design.scores(y - self.slope * design.x)))
        u, v = design.rescaled(y), design.rescaled(design.x)
        moments = _Moments(design, u, v)
        size = max(1, BLOCK // design.clusters)
        parts = []
        for start in range(0, draws, size):
            shape = min(size, draws - start), design.clusters
            signs = generator.integers(0, 2, shape).astype(np.float64) * 2 - 1
            parts.append(moments.of(signs))
        self.a, self.c, self.p, self.q, self.r = np.concatenate(parts, axis=1)

    def p_values(self, slopes: Vector) -> Vector:
        """P value of each slope by the symmetric test; a tie is extreme."""
        b = slopes[:, None]
        variance = self.p - 2 * b * self.q + b**2 * self.r
        drawn = (self.a - b * self.c) ** 2
        observed = ((self.slope - b) / self.error) ** 2
        extreme = np.sum(drawn >= _TIE * observed * variance, axis=1)
        return np.asarray((1 + extreme) / (1 + len(self.a)))

    def rejects(self, slopes: Vector, level: float) -> npt.NDArray[np.bool_]:
        """Whether each slope is rejected at the level."""
        return np.asarray(self.p_values(slopes) <= level)

    def interval(self, level: float) -> Interval:
        """Least and greatest correlation in [-1, 1] that is not rejected."""
        return self._end(-1.0, level), self._end(1.0, level)

    def _end(self, outermost: float, level: float) -> float:
        """The slope nearest to `outermost` that is not rejected, to 1e-6."""
        slopes = np.linspace(outermost, self.slope, _SLOPES)
        first = int(np.argmin(self.rejects(slopes, level)))
        if first == 0:
            return outermost
        outside, inside = float(slopes[first - 1]), float(slopes[first])
        while abs(outside - inside) > 1e-6:
            middle = (outside + inside) / 2
            if self.rejects(np.array([middle]), level)[0]:
                outside = middle
            else:
                inside = middle
        return inside


class _Moments:
    """The five numbers of each draw, from products of its signs with fixed columns."""

    def __init__(self, design: Design, u: Vector, v: Vector) -> None:
        light = np.ones(design.clusters)
        light[design.heavy] = 0
        self._sums = design.sums
        self._heavy = design.heavy
        self._scores = np.stack([design.scores(u), design.scores(v)])
        own = [design.group(each[:, None] * design.full) for each in (u, v)]
        crossed = [(light * t)[:, None] * design.sums for t in self._scores]
        self._columns = np.column_stack([*own, *crossed])
        self._square = (light[:, None] * design.sums).T @ design.sums
        self._fixed = (light * self._scores) @ self._scores.T

    def of(self, signs: Vector) -> Vector:
        """Rows a, c, p, q, r; one column per row of signs."""
        parts = np.split(signs @ self._columns, 4, axis=1)
        drawn, crossed = parts[:2], parts[2:]
        heavy = [
            signs[:, self._heavy] * scores[self._heavy]
            - own @ self._sums[self._heavy].T
            for scores, own in zip(self._scores, drawn, strict=True)
        ]

        def moment(i: int, j: int) -> Vector:
            quadratic = drawn[i] @ self._square * drawn[j]
            linear = drawn[i] * crossed[j] + drawn[j] * crossed[i]
            large = np.sum(heavy[i] * heavy[j], axis=1)
            light = self._fixed[i, j] + np.sum(quadratic - linear, axis=1)
            return np.asarray(light + large)

        slopes = (own[:, -1] for own in drawn)
        return np.stack([*slopes, moment(0, 0), moment(0, 1), moment(1, 1)])
