"""The cortical microcircuit, at full scale or a tenth, all spikes recorded."""

import jax
from ours import timing

import brainjax as bj


def simulate(config: str, drive: str, warmup: float, ms: float):
    """`bj.simulate` of `config`; each round begins where `warmup` ms ended."""
    network = bj.experiments.load(config, {"network.drive": drive}).network
    built, build_s = timing.build(network)
    record = {n: bj.Spikes(n) for n in built.names}

    def run(state=None, duration=ms):
        taken, result = timing.seconds(
            lambda: bj.simulate(
                built, duration, state=state, key=jax.random.key(1), record=record
            )._replace(stats=None)
        )
        return taken, result

    compile_s = timing.first(lambda: run(duration=0.1)[1].state)
    start = run(duration=warmup)[1].state

    def once():
        taken, result = run(start)
        return {"seconds": taken, "rates": timing.rates(result.records, ms)}

    device = jax.devices()[0]
    facts = {"build_s": build_s, "compile_s": compile_s, "device": device.device_kind}
    return facts | timing.versions(), once
