"""What tests of connections share: a stream, distributions and their laws, a digest."""

import hashlib

import numpy as np
from scipy import stats

from brainjax.connect import LogNormal, Normal, Uniform
from brainjax.core._host_random import HostStream

STREAM = HostStream((7, 42)).child("exc->inh")

# Of every kind, without bounds and with some.
DRAWS = [
    Uniform(-1.5, 2.5),
    Normal(1.5, 0.75),
    Normal(1.5, 0.75, low=0.1),
    Normal(1.5, 0.75, high=1.0, outside="clip"),
    Normal(0.0, 1.0, low=4.0, high=4.5),
    LogNormal(0.3, 0.8),
    LogNormal(0.3, 0.8, low=1.0, high=2.0),
    LogNormal(0.3, 0.8, high=2.0, outside="clip"),
]


def digest(pre, post):
    """The beginning of the SHA-256 of connections."""
    indices = pre.astype("<i4").tobytes() + post.astype("<i4").tobytes()
    return hashlib.sha256(indices).hexdigest()[:16]


def truncated(draw: Normal | LogNormal):
    """SciPy's law of what is redrawn within bounds: of the logarithm, where that is normal."""
    bounds = np.array([draw.low, draw.high])
    if isinstance(draw, LogNormal):
        mean, std, bounds = draw.mu, draw.sigma, np.log(np.maximum(bounds, 1e-300))
    else:
        mean, std = draw.mean, draw.std
    if draw.outside == "clip":
        bounds = np.array([-np.inf, np.inf])
    return stats.truncnorm(*(bounds - mean) / std, mean, std)


def check(p):
    """That p-values, one a seed, are those of a right hypothesis."""
    p = np.asarray(p)
    assert p.min() > 1e-4 / len(p) and stats.combine_pvalues(p).pvalue > 1e-3, p


def goodness(drawn, law):
    """The p-value of numbers as those of a discrete law, in about 12 classes."""
    edges = np.unique(law.ppf(np.linspace(0, 1, 13)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, drawn), minlength=len(edges) + 1)
    chances = np.diff(np.concatenate([[0], law.cdf(edges), [1]]))
    enough = chances * drawn.size > 5
    counts = np.append(counts[enough], counts[~enough].sum())
    chances = np.append(chances[enough], chances[~enough].sum())
    counts, chances = counts[chances > 0], chances[chances > 0]
    return stats.chisquare(counts, chances * drawn.size).pvalue
