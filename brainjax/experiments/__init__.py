"""Experiments: networks from a config, run into a folder. The one room that prints and writes."""

from ._catalogue import describe as describe
from ._catalogue import titles as titles
from ._config import bundled as bundled
from ._experiment import Experiment as Experiment
from ._experiment import load as load
from ._folder import write_run as write_run
from ._registry import registry as registry
from ._reproduce import Finding as Finding
from ._reproduce import reproduce as reproduce
from ._run import Outcome as Outcome
from ._run import Times as Times
from ._run import run as run
from ._schema import ConfigError as ConfigError
from ._summary import report as report
from ._summary import summary_of as summary_of
