"""Learning: which leaves of a network are trained."""

from ._trainable import trainable as trainable
