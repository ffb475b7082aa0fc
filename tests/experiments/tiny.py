"""A config that runs in a moment, and ways to change it."""

import json
from pathlib import Path

from brainjax.cli import main

TINY = """
title = "tiny"
warmup = 5.0
duration = 20.0

[network.populations.exc]
size = 40
neuron = { type = "LIF", i_e = 600.0, surrogate = { beta = 10.0 } }
receptors.syn = { type = "ExponentialCurrent", tau_syn = 2.0 }
initial.v = { type = "Uniform", low = -70.0, high = -55.0 }

[network.populations.inh]
size = 10
neuron = { type = "LIF", i_e = 500.0 }
receptors.syn = { type = "ExponentialCurrent", tau_syn = 2.0 }

[network.projections.recurrent]
source = "exc"
target = ["exc.syn", "inh.syn"]
rule = { type = "FixedProbability", p = 0.2 }
weight = { type = "Normal", mean = 30.0, std = 3.0, low = 0.0 }
delay = 1.0

[network.stimuli.noise]
type = "PoissonInput"
target = "inh.syn"
rate = 500.0
weight = 50.0

[record]
v = { type = "Trace", population = "exc", field = "v", neurons = [0, 3] }
"""


def tiny(folder: Path, text: str = TINY) -> Path:
    """The file of a config."""
    file = folder / "tiny.toml"
    file.write_text(text, encoding="utf-8")
    return file


def run_json(capsys, *arguments) -> dict:
    """What `brainjax run ... --json` prints, as data; it must succeed."""
    assert main(["run", *map(str, arguments), "--json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)
