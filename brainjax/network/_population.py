"""A population: neurons of one model, their receptors, and one step of all of them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..connect import Distribution
from ..core import (
    Dynamics,
    Instant,
    Stream,
    explain,
    float_dtype,
    fold,
    is_concrete,
    key_words,
    near_miss,
)
from ..neurons import SpikingNeuron
from ..ops import prepare_map
from ..stimuli import Source, Stimulus
from ..synapses import Drive, Receptor
from ._initial import Drawn, initial_values


class PopulationState(NamedTuple):
    """What evolves in a population."""

    neuron: Any  # state of the neuron model
    receptors: dict[str, Any]  # state of each receptor, by name


class PopulationInput(NamedTuple):
    """What reaches a population in one step."""

    current: Float[Array, "..."]  # pA, during the step
    arrivals: dict[str, Float[Array, "..."]]  # by receptor, at the end of the step; () or (size,)


def _whole(number: Any) -> Any:
    """NumPy's integers as Python's; anything else as it is, to be checked."""
    return int(number) if isinstance(number, np.integer) else number


def _as_dict(receptors: Mapping[str, Any]) -> dict[str, Any]:
    return dict(receptors)


class Population(Dynamics):
    """Neurons of one model, with the receptors through which others reach them.

    **Arguments:**

    - `size`: how many neurons.
    - `neuron`: their model; its parameters are one number, or an array of shape `(size,)`.
    - `receptors`: name to receptor; a projection ends in `"population.receptor"`.
    - `initial`: what the state starts from: field to number, array of shape `(size,)`, or
      distribution, as `{"v": bj.Uniform(-60.0, -50.0)}` (mV).

    **Raises:**

    `ValueError` or `TypeError` for a size below 1, for parameters of another length, for a field
    that the model does not have, and for what is not a neuron or receptor.
    """

    size: int = eqx.field(static=True, converter=_whole)
    neuron: Any
    receptors: Mapping[str, Receptor] = eqx.field(default_factory=dict, converter=_as_dict)
    initial: Mapping[str, Any] = eqx.field(default_factory=dict, converter=initial_values)

    def __check_init__(self):
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            error = ValueError if isinstance(self.size, int) else TypeError
            raise error(
                explain(
                    "Population: size",
                    got=self.size,
                    expected="an integer of at least 1",
                    mend="For example Population(100, bj.LIF()).",
                )
            )
        if not isinstance(self.neuron, (SpikingNeuron, Source)):
            raise TypeError(
                explain(
                    "Population: neuron",
                    got=self.neuron,
                    expected="a neuron model or a source",
                    mend="For example Population(100, bj.LIF()).",
                )
            )
        for name, receptor in self.receptors.items():
            if not isinstance(receptor, Receptor) or not isinstance(name, str) or "." in name:
                raise TypeError(
                    explain(
                        f"Population: receptors[{name!r}]",
                        got=receptor,
                        expected="a receptor, under a name without dots",
                        mend="For example {'ampa': bj.ExponentialCurrent(tau_syn=2.0)}.",
                    )
                )
        for owner, model in {"neuron": self.neuron, **self.receptors}.items():
            for path, leaf in jax.tree_util.tree_leaves_with_path(model):
                shape = jnp.shape(leaf)
                if isinstance(model, SpikingNeuron | Receptor) and shape not in ((), (self.size,)):
                    field = jax.tree_util.keystr(path).removeprefix(".")
                    raise ValueError(
                        explain(
                            f"Population: {owner}: {type(model).__name__}({field}=...)",
                            got=f"shape {shape}",
                            expected=f"() or ({self.size},), one per neuron",
                        )
                    )
        if isinstance(self.neuron, Source) and (self.receptors or self.initial):
            raise ValueError(
                explain(
                    f"Population of {type(self.neuron).__name__}",
                    got={"receptors": list(self.receptors), "initial": list(self.initial)},
                    expected="neither receptors nor initial values: a source takes no input",
                )
            )
        self.check_initial(self.initial)

    def stream(self, words, name: str, offset: int | Array = 0) -> Stream:
        """The random numbers of this population when it is called `name` in its network."""
        first = jnp.asarray(offset, jnp.int32)
        index = jnp.arange(self.size, dtype=jnp.int32) + first
        return Stream(fold(words, f"population.{name}"), index, first)

    def init_state(
        self, *, key=None, stream: Stream | None = None, initial: Mapping[str, Any] | None = None
    ) -> PopulationState:
        """The state before the first step.

        **Arguments:**

        - `key`: a JAX key; only a random initial state needs it.
        - `stream`: the population's own random numbers, if a network has them.
        - `initial`: as of the population; replaces it field by field.
        """
        if stream is None:
            words = jnp.zeros(2, jnp.uint32) if key is None else key_words(key)
            stream = self.stream(words, "")
        wanted = {**self.initial, **initial_values(initial or {})}
        self.check_initial(wanted)
        dtype = float_dtype()
        drawn = {
            field: value.draw(stream, field, dtype) if isinstance(value, Drawn) else value
            for field, value in wanted.items()
        }
        receptors = {n: r.init_state((self.size,), dtype) for n, r in self.receptors.items()}
        for field in [f for f in drawn if "." in f]:
            receptor, _, part = field.partition(".")
            value = jnp.broadcast_to(jnp.asarray(drawn.pop(field), dtype), (self.size,))
            receptors[receptor] = receptors[receptor]._replace(**{part: value})
        neuron = self.neuron.init_state((self.size,), key=key, **drawn)
        return PopulationState(neuron, receptors)

    def check_initial(self, initial: Mapping[str, Any]) -> None:
        """Raise `ValueError` unless `initial` names fields of the state, of the right shapes."""
        known = [field for field in self.observable() if field != "refractory"] if initial else []
        for field, value in initial.items():
            if field not in known:
                raise ValueError(
                    explain(
                        "Population: initial",
                        got=field,
                        expected="a field of the state",
                        mend=near_miss(field, known),
                    )
                )
            if isinstance(value, (Drawn, Distribution)):
                continue
            if isinstance(value, (bool, str)) or value is None:
                expected = "a number, an array or a distribution"
                raise TypeError(
                    explain(f"Population: initial[{field!r}]", got=value, expected=expected)
                )
            if jnp.shape(value) not in ((), (self.size,)):
                raise ValueError(
                    explain(
                        f"Population: initial[{field!r}]",
                        got=f"shape {jnp.shape(value)}",
                        expected=f"() or ({self.size},), one per neuron",
                    )
                )
            if is_concrete(value) and not np.all(np.isfinite(np.asarray(value))):
                raise ValueError(
                    explain(f"Population: initial[{field!r}]", got=value, expected="finite numbers")
                )

    def observe(self, state: PopulationState) -> dict[str, Array]:
        """What can be recorded: fields of the neuron, and `"receptor.field"`; shape `(size,)`."""
        fields = dict(self.neuron.observe(state.neuron))
        for name in self.receptors:
            for field, value in state.receptors[name]._asdict().items():
                fields[f"{name}.{field}"] = value
        return fields

    def observable(self) -> tuple[str, ...]:
        """The names of what can be recorded."""

        def fields():
            receptors = {n: r.init_state((1,), float_dtype()) for n, r in self.receptors.items()}
            neuron = self.neuron.init_state((1,))
            return dict.fromkeys(self.observe(PopulationState(neuron, receptors)), 0)

        return tuple(jax.eval_shape(fields))

    def prepare(
        self,
        state: PopulationState,
        input: PopulationInput,
        *,
        at: Instant,
        stimuli: tuple[Stimulus, ...] = (),
        impl: str = "auto",
        live: bool = False,
    ) -> Callable:
        """The step of this population as a function for a loop.

        What depends on parameters alone (propagators, keys of random streams) is computed now.

        **Arguments:**

        - `state`, `input`: examples; only shapes and types matter.
        - `at`: the first instant.
        - `stimuli`: those that aim at this population.
        - `impl`: which implementation of the step runs.
        - `live`: whether the step also says which spikes have a derivative.

        **Returns:**

        `(state, input, at) -> (state, spikes)`. Spikes are 0, or the number a spike multiplies.
        With `live`, `(state, spikes, live)`.
        """
        shared = tuple(s for s in stimuli if not s.elementwise)
        scattered = tuple(s for s in stimuli if s.elementwise)
        fixed = (self.neuron, dict(self.receptors), scattered, at.dt, at.stream)

        def with_shared(input, at):
            for stimulus in shared:
                input = add_input(input, stimulus.target, stimulus.amount(at=at))
            return input

        whole_step = live_population_step if live else population_step
        if self.neuron.elementwise:
            step = prepare_map(
                whole_step,
                fixed,
                state,
                with_shared(input, at),
                at.index,
                impl=impl,
                name=type(self.neuron).__name__,
            )
        else:
            step = functools.partial(whole_step, *fixed)
        return lambda state, input, at: step(state, with_shared(input, at), at.index)

    def step(
        self, state: PopulationState, input: PopulationInput, *, at: Instant
    ) -> tuple[PopulationState, Float[Array, " size"]]:
        """One step; the output is the spikes at its end: 0, or the number a spike multiplies."""
        return self.prepare(state, input, at=at)(state, input, at)


def add_input(input: PopulationInput, target: str, amount) -> PopulationInput:
    """`input` with `amount` more of what `target` names: current, or arrivals at a receptor."""
    _, _, receptor = target.partition(".")
    if not receptor:
        return input._replace(current=input.current + amount)
    arrivals = {**input.arrivals, receptor: input.arrivals[receptor] + amount}
    return input._replace(arrivals=arrivals)


def population_step(neuron, receptors, stimuli, dt, stream, state, input, index):
    """One step of a population, elementwise over its neurons if the model is."""
    step = (neuron, receptors, stimuli, dt, stream, state, input, index)
    return live_population_step(*step)[:2]


def live_population_step(neuron, receptors, stimuli, dt, stream, state, input, index):
    """`population_step`, and which spikes have a derivative."""
    at = Instant(index, dt, stream)
    for stimulus in stimuli:
        input = add_input(input, stimulus.target, stimulus.amount(at=at))
    # What is the same for all is spread in here, where that takes no memory.
    arrivals = {n: jnp.broadcast_to(x, stream.index.shape) for n, x in input.arrivals.items()}
    drive = Drive(receptors, state.receptors, input.current, arrivals)
    moved, spikes, live = neuron.live_step(state.neuron, drive, at=at)
    return PopulationState(moved, drive.advance(dt)), spikes, live
