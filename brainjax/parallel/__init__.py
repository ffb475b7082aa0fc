"""One network over several devices."""

from ._rollout import rollout as rollout
