"""A network that can be run: connections laid out, one step of everything a pure function."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core import (
    Dynamics,
    Instant,
    Stream,
    check_key,
    check_parameters,
    explain,
    float_dtype,
    key_words,
    near_miss,
    parameters_of,
)
from ..ops import (
    GroupTable,
    Layout,
    deliver,
    empty_history,
    empty_ring,
    varying_alike,
)
from ..stimuli import Stimulus
from ._built_projection import BuiltProjection
from ._layout import Edges, edges_of
from ._population import Population, PopulationInput, add_input
from ._state import Backward, NetworkState
from ._summary import summarise


class BuiltNetwork(Dynamics):
    """A network ready to run, made by `brainjax.build`.

    A PyTree: weights and parameters are leaves, which can be differentiated, swept over and
    replaced (`equinox.tree_at`) without compiling anew. `weights` and `edges` speak in canonical
    order, whatever the engine's.
    """

    populations: dict[str, Population]
    projections: dict[str, BuiltProjection]
    stimuli: tuple[Stimulus, ...]
    dt_leaf: Float[Array, ""]
    dt: float = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)  # populations in the author's order
    projection_names: tuple[str, ...] = eqx.field(static=True)
    impl: str = eqx.field(static=True)
    # Per source population, made of the rows of its projections; none where only a ring is used.
    tables: tuple[GroupTable, ...] = ()
    # Set by `brainjax.parallel` for the part of a network that one device of a mesh axis holds.
    axis: str | None = eqx.field(default=None, static=True)
    num_shards: int = eqx.field(default=1, static=True)

    # ---- structure ------------------------------------------------------------------------------

    @property
    def sources(self) -> tuple[str, ...]:
        """The populations that project, in order."""
        used = {p.source for p in self.projections.values()}
        return tuple(n for n in self.names if n in used)

    @property
    def ports(self) -> dict[tuple[str, str], int]:
        """Where each receptor begins among the accumulators of the network."""
        return ports_of(self.populations, self.names)

    @property
    def layout(self) -> Layout:
        """What the delivery op must know when it is compiled."""
        projections = [self.projections[n] for n in self.projection_names]
        sizes, begins = [self.populations[n].size for n, _ in self.ports], [*self.ports.values()]
        return Layout(
            num_slots=max((p.longest_delay for p in projections), default=1),
            num_targets=sum(sizes),
            sources=tuple(self.sources.index(p.source) for p in projections),
            ports=tuple(begins.index(p.offset) for p in projections),
            sizes=tuple(sizes),
        )

    def size_of(self, population: str) -> int:
        """How many neurons a population has, on all devices."""
        return self.populations[population].size * self.num_shards

    def whole(self, x: Array) -> Array:
        """Values of the neurons held here as those of the whole population."""
        return x if self.axis is None else jax.lax.all_gather(x, self.axis, tiled=True)

    def _whole_spikes(self, spikes: Array, *live: Array) -> list[Array]:
        """Spikes of whole populations, and which of them are live if that is given."""
        if self.axis is None or not live:
            return [self.whole(spikes), *live]
        # One collective costs less than two.
        both = jnp.stack([spikes, live[0].astype(spikes.dtype)])
        spikes, alive = jax.lax.all_gather(both, self.axis, axis=1, tiled=True)
        return [spikes, alive != 0]

    def observe(self, state: NetworkState, population: str, field: str) -> Float[Array, " size"]:
        """A field of the state of a whole population, or its `"spikes"`."""
        if field == "spikes":
            return state.spikes[population]
        fields = self.populations[population].observe(state.populations[population])
        return self.whole(fields[field])

    def edges(self, projection: str) -> Edges:
        """The synapses of a projection in canonical order: pre, post, delay in steps."""
        held = self._projection(projection)
        return edges_of(held.rows, held.offset)[0]

    def weights(self, projection: str, as_: str = "coo") -> Any:
        """The weights of a projection.

        **Arguments:**

        - `projection`: its name.
        - `as_`: `"coo"`: one per synapse in the order of `edges`; `"dense"`: a matrix of shape
          `(sources, targets)` in which synapses of one pair add up.

        **Returns:**

        An array in the unit of the receptor; traced if the weights are.
        """
        held = self._projection(projection)
        weight = held.weights()
        if as_ == "coo":
            return weight
        if as_ != "dense":
            raise ValueError(explain("weights: as_", got=as_, expected="'coo' or 'dense'"))
        shape = tuple(
            self.populations[n].size for n in (held.source, held.target.partition(".")[0])
        )
        edges = self.edges(projection)
        return jnp.zeros(shape, weight.dtype).at[edges.pre, edges.post].add(weight)

    def delays(self, projection: str) -> Float[Array, " synapses"]:
        """The delays of a projection, ms, in the order of `edges`; as trained, where they are."""
        held = self._projection(projection)
        edges, order, _ = edges_of(held.rows, held.offset)
        return jnp.asarray(edges.delay * self.dt) if held.delay is None else held.delay[order]

    def canonical(self, projection: str, values: Array) -> Array:
        """Values of weights as the engine holds them (a gradient, say) in the order of `edges`.

        **Arguments:**

        - `projection`: its name.
        - `values`: of the shape of the leaf `projections[projection].weight`.
        """
        held = self._projection(projection)
        return values.ravel()[edges_of(held.rows, held.offset)[1]]

    def with_parameters(self, population: str, **values: Any) -> "BuiltNetwork":
        """The network with other parameters of a neuron model, without compiling anew.

        **Arguments:**

        - `population`: its name.
        - `values`: parameter to number or array, in its unit: `with_parameters("exc", i_e=220.0)`.
          Give an array where an array was, a number where a number was.

        **Raises:**

        `ValueError` for a population, parameter or shape that is not there, and for a number
        outside the parameter's domain.
        """
        if population not in self.populations:
            raise ValueError(
                explain(
                    "with_parameters",
                    got=population,
                    expected="a population of the network",
                    mend=near_miss(population, self.names),
                )
            )
        neuron = self.populations[population].neuron
        known = [f.name for f in parameters_of(neuron)]
        for name, value in values.items():
            what = f"with_parameters('{population}', {name}=...)"
            if name not in known:
                expected = f"a parameter of {type(neuron).__name__}"
                raise ValueError(
                    explain(what, got=name, expected=expected, mend=near_miss(name, known))
                )
            old = getattr(neuron, name)
            new = jnp.asarray(value, old.dtype)
            if new.shape != old.shape:
                raise ValueError(
                    explain(what, got=f"shape {new.shape}", expected=f"shape {old.shape}")
                )
            neuron = eqx.tree_at(lambda n, name=name: getattr(n, name), neuron, new)
        check_parameters(neuron)
        return eqx.tree_at(lambda b: b.populations[population].neuron, self, neuron)

    def with_weights(self, projection: str, weight: Any) -> "BuiltNetwork":
        """The network with other weights: one number, or one per synapse in order of `edges`.

        A convolution takes one number or a kernel.
        """
        held = self._projection(projection)
        try:
            held = held.with_weights(weight)
        except ValueError as error:
            raise ValueError(f"with_weights('{projection}'): {error}") from None
        return dataclasses.replace(self, projections={**self.projections, projection: held})

    def _projection(self, name: str) -> BuiltProjection:
        if name not in self.projections:
            raise ValueError(
                explain(
                    "projection",
                    got=name,
                    expected="a projection of the network",
                    mend=near_miss(name, self.projection_names),
                )
            )
        return self.projections[name]

    def summary(self) -> str:
        """A table of populations, projections, synapses and memory, as text."""
        return summarise(self)

    # ---- dynamics -------------------------------------------------------------------------------

    def init_state(
        self, *, key, initial: Mapping[str, Mapping[str, Any]] | None = None, history: bool = False
    ) -> NetworkState:
        """The state before the first step.

        **Arguments:**

        - `key`: a JAX key; the root of all random numbers of the run. May be traced.
        - `initial`: population to fields, replacing its own: `{"exc": {"v": -60.0}}`.
        - `history`: keep pending spikes as a history: faster, without derivatives. `simulate` does.
        """
        for name in initial or {}:
            if name not in self.populations:
                raise ValueError(
                    explain(
                        "init_state: initial",
                        got=name,
                        expected="a population",
                        mend=near_miss(name, self.names),
                    )
                )
            self.populations[name].check_initial((initial or {})[name])
        check_key("init_state: key", key)
        return _init_state(self, key, initial or {}, history)

    def at(self, state: NetworkState, name: str) -> Instant:
        """When and with which random numbers population `name` takes its next step."""
        population = self.populations[name]
        first = 0 if self.axis is None else jax.lax.axis_index(self.axis) * population.size
        stream: Stream = population.stream(state.words, name, first)
        return Instant(state.steps, self.dt_leaf, stream)

    def backward(self) -> Backward:
        """What a loop hands to `advance` beside the state it starts from.

        The first spikes are the caller's, who may differentiate by them: all are live.
        """
        weights = [self.projections[n].flat_weight for n in self.projection_names]
        slack = tuple(w - jax.lax.stop_gradient(w) for w in weights)
        return Backward(slack, {n: jnp.ones(self.size_of(n), bool) for n in self.sources})

    def step(
        self, state: NetworkState, input: Mapping[str, Array] | None = None, *, at: Any = None
    ) -> tuple[NetworkState, dict[str, Float[Array, " size"]]]:
        """One step of the network; the output is the spikes at its end, by population.

        **Arguments:**

        - `state`: it carries its own clock and random numbers.
        - `input`: `"population"` to current (pA) during the step, `"population.receptor"` to
          arrivals at its end; shape `()` or `(size,)`. Absent means zero.
        - `at`: not needed; a network is its own clock.
        """
        del at
        input = dict(input or {})
        built = self.resolved()
        state, _ = built.advance(state, input, built.backward(), built.prepare(state, input))
        return state, state.spikes

    def resolved(self) -> "BuiltNetwork":
        """The network for a loop: delays that are trained become weights, once."""
        if all(p.delay is None for p in self.projections.values()):
            return self
        projections = {n: p.resolved(self.dt) for n, p in self.projections.items()}
        return dataclasses.replace(self, projections=projections)

    def prepare(
        self, state: NetworkState, input: Mapping[str, Array], *, live: bool = False
    ) -> dict[str, Callable]:
        """The steps of the populations, for a loop that begins at `state` with such input.

        With `live` they also say which spikes have a derivative: a loop then carries `Backward`.
        """
        quiet = self._arrivals()
        return {
            name: self.populations[name].prepare(
                state.populations[name],
                self._input(name, quiet[name], input),
                at=self.at(state, name),
                stimuli=tuple(s for s in self.stimuli if s.target.partition(".")[0] == name),
                impl=self.impl,
                live=live and name in self.sources,
            )
            for name in self.names
        }

    def advance(
        self, state: NetworkState, input: Mapping[str, Array], backward: Backward, steps
    ) -> tuple[NetworkState, Backward]:
        """One step for a loop, which carries the state and `backward`; `steps` from `prepare`."""
        with jax.named_scope("deliver"):
            arrivals, pending, slack = self._deliver(state, backward)
        populations, spikes, live = {}, {}, {}
        for name in self.names:
            with jax.named_scope(name):
                into = self._input(name, arrivals[name], input)
                at = self.at(state, name)
                populations[name], *spiked = steps[name](state.populations[name], into, at)
                spikes[name], *alive = self._whole_spikes(*spiked)
                if alive:
                    (live[name],) = alive
        state = NetworkState(state.steps + 1, state.words, populations, spikes, pending)
        return state, Backward(slack, varying_alike(live, backward))

    def _input(self, name: str, arrivals, input: Mapping[str, Array]) -> PopulationInput:
        """What reaches a population: arrivals through projections, and from outside."""
        into = PopulationInput(jnp.zeros((), self.dt_leaf.dtype), arrivals)
        for target in sorted(input):
            if target.partition(".")[0] == name:
                into = add_input(into, target, input[target])
        return into

    def _arrivals(self, due: Array | None = None) -> dict[str, dict[str, Array]]:
        """What is due, by population and receptor: one zero where no projection ends."""
        due = jnp.zeros(self.layout.num_targets, self.dt_leaf.dtype) if due is None else due
        reached = {p.target for p in self.projections.values()}
        arrivals, nothing = {name: {} for name in self.names}, jnp.zeros((), due.dtype)
        for (name, receptor), begin in self.ports.items():
            its_own = due[begin : begin + self.populations[name].size]
            arrivals[name][receptor] = its_own if f"{name}.{receptor}" in reached else nothing
        return arrivals

    def _deliver(self, state: NetworkState, backward: Backward):
        projections = [self.projections[n] for n in self.projection_names]
        if not projections:
            return self._arrivals(), state.pending, backward.slack
        pending, due, slack = deliver(
            state.pending,
            tuple(state.spikes[n] for n in self.sources),
            tuple(p.rows for p in projections),
            tuple(p.flat_weight for p in projections),
            backward.slack,
            index=state.steps,
            layout=self.layout,
            live=tuple(backward.live[n] for n in self.sources),
            tables=self.tables,
            impl=self.impl,
        )
        return self._arrivals(due), pending, slack


@eqx.filter_jit  # whoever calls it, the same compiled program draws the same bits
def _init_state(built: BuiltNetwork, key, initial, history: bool) -> NetworkState:
    words = key_words(key)
    dtype = float_dtype()
    populations = {
        n: p.init_state(stream=p.stream(words, n), initial=initial.get(n))
        for n, p in built.populations.items()
    }
    # Trained delays move from step to step; a ring is indifferent to that.
    history = history and all(p.delay is None for p in built.projections.values())
    sizes = tuple(built.populations[n].size for n in built.sources)
    empty = (
        empty_history(built.layout, sizes, dtype) if history else empty_ring(built.layout, dtype)
    )
    spikes = {n: jnp.zeros(p.size, dtype) for n, p in built.populations.items()}
    return NetworkState(jnp.zeros((), jnp.int32), words, populations, spikes, empty)


def ports_of(populations: Mapping[str, Population], names) -> dict[tuple[str, str], int]:
    """Where each receptor begins among the accumulators of a network.

    `populations` by name, laid out in the order of `names`.
    """
    ports, begin = {}, 0
    for name in names:
        for receptor in sorted(populations[name].receptors):
            ports[name, receptor] = begin
            begin += populations[name].size
    return ports
