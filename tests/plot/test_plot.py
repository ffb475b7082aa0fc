"""Figures carry the data they were given, say their units, and leave nothing behind."""

import doctest
import pickle
import subprocess
import sys
from typing import NamedTuple

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from brainjax import analysis, plot


class Train(NamedTuple):
    neuron: np.ndarray
    time: np.ndarray  # ms
    size: int
    t_start: float = 0.0
    t_stop: float = 1000.0


def poisson(seed, size, hz=20.0, t_stop=1000.0):
    rng = np.random.default_rng(seed)
    count = rng.poisson(size * hz * t_stop / 1000)
    time = np.sort(rng.uniform(0, t_stop, count))
    return Train(rng.integers(size, size=count), time, size, 0.0, t_stop)


@pytest.fixture
def trains():
    return {"exc": poisson(0, 40), "inh": poisson(1, 10)}


def points(line):
    return np.asarray(line.get_xydata(), float)


# ---- raster


def test_raster_shows_every_spike_of_a_small_network(trains):
    rows, time = plot.raster(trains).axes
    exc, inh = rows.lines
    np.testing.assert_array_equal(points(exc)[:, 0], trains["exc"].time)
    np.testing.assert_array_equal(points(exc)[:, 1], trains["exc"].neuron)
    np.testing.assert_array_equal(points(inh)[:, 0], trains["inh"].time)
    shift = points(inh)[:, 1] - trains["inh"].neuron
    assert np.all(shift == shift[0]) and shift[0] >= 40  # below the other band
    assert rows.get_ylim()[0] > rows.get_ylim()[1]  # the first population is on top
    assert rows.get_ylabel() == "50 neurons"
    assert [t.get_text() for t in rows.get_yticklabels()] == ["exc", "inh"]
    assert exc.get_color() != inh.get_color()
    assert rows.get_shared_x_axes().joined(rows, time)
    assert time.get_xlabel() == "time (ms)" and time.get_ylabel() == "rate (Hz)\n5 ms bins"


def test_raster_shows_the_rates(trains):
    _, time = plot.raster(trains, bin=20.0).axes
    for patch, spikes in zip(time.patches, trains.values(), strict=True):
        values, edges, _ = patch.get_data()
        np.testing.assert_array_equal(values, analysis.population_rate(spikes, 20.0)[1])
        np.testing.assert_allclose(edges, np.arange(51) * 20.0)


def test_raster_thins_large_networks_evenly_and_says_so():
    trains = {"exc": poisson(0, 3200), "inh": poisson(1, 800)}
    figure = plot.raster(trains, max_neurons=100)
    exc, inh = figure.axes[0].lines
    assert figure.axes[0].get_ylabel() == "100 of 4000 neurons"
    kept = trains["exc"].neuron % 40 == 0  # 80 rows for 3200 neurons
    np.testing.assert_array_equal(points(exc)[:, 0], trains["exc"].time[kept])
    np.testing.assert_array_equal(points(exc)[:, 1], trains["exc"].neuron[kept] // 40)
    # and the rates are still of all neurons
    values = figure.axes[1].patches[0].get_data().values
    np.testing.assert_array_equal(values, analysis.population_rate(trains["exc"], 5.0)[1])


def test_raster_of_one_population_in_a_window(trains):
    figure = plot.raster(trains["exc"], start=200.0, stop=300.0)
    rows, time = figure.axes
    inside = (trains["exc"].time > 200.0) & (trains["exc"].time <= 300.0)
    np.testing.assert_array_equal(points(rows.lines[0])[:, 0], trains["exc"].time[inside])
    assert rows.get_xlim() == time.get_xlim() == (200.0, 300.0)
    assert "1 ms bins" in time.get_ylabel()


def test_raster_takes_the_window_all_recordings_cover(trains):
    late = trains["inh"]._replace(t_start=100.0, time=100.0 + 0.9 * trains["inh"].time)
    assert plot.raster(trains | {"inh": late}).axes[0].get_xlim() == (100.0, 1000.0)


@pytest.mark.parametrize(
    ("window", "bin"),
    [(0.5, "0.5"), (50.0, "1"), (200.0, "1"), (400.0, "2"), (1000.0, "5"), (9000.0, "20")],
)
def test_raster_bins_are_round(window, bin):
    figure = plot.raster(poisson(0, 3, t_stop=window))
    assert figure.axes[1].get_ylabel().endswith(f"\n{bin} ms bins")


def test_raster_of_silence():
    figure = plot.raster({"quiet": Train(np.zeros(0, int), np.zeros(0), 5)})
    assert points(figure.axes[0].lines[0]).shape == (0, 2)
    figure.canvas.draw()


# ---- traces


def test_trace_carries_values_labels_and_threshold():
    times, values = np.arange(5.0), np.arange(15.0).reshape(5, 3)
    figure = plot.trace(times, values, labels=("a", "b", "c"), threshold=7.0)
    (ax,) = figure.axes
    for neuron, line in enumerate(ax.lines[:3]):
        np.testing.assert_array_equal(points(line), np.stack([times, values[:, neuron]], 1))
    assert set(points(ax.lines[3])[:, 1]) == {7.0}
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["a", "b", "c", "threshold"]
    assert ax.get_ylabel() == "membrane potential (mV)" and ax.get_xlabel() == "time (ms)"


def test_trace_of_one_neuron_in_another_unit():
    (ax,) = plot.trace([0.0, 1.0], [5.0, 6.0], unit="pA", quantity="current").axes
    assert len(ax.lines) == 1 and ax.get_legend() is None
    assert ax.get_ylabel() == "current (pA)"


# ---- distributions


def test_rates_are_a_share_of_the_neurons(trains):
    (ax,) = plot.rates(trains).axes
    outlines = [p for p in ax.patches if not p.get_fill()]
    for patch, spikes in zip(outlines, trains.values(), strict=True):
        values, edges, _ = patch.get_data()
        counts = np.histogram(analysis.rates(spikes), edges)[0]
        assert counts.sum() == spikes.size  # nobody lies outside
        np.testing.assert_allclose(values, 100.0 * counts / spikes.size)
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels == [f"{n} {analysis.rate(s):.1f} Hz" for n, s in trains.items()]
    assert ax.get_xlabel() == "firing rate (Hz)"


def test_isis_show_intervals_and_irregularity(trains):
    intervals, cv = plot.isis(trains).axes
    for ax in (intervals, cv):
        for patch in ax.patches:
            assert patch.get_data().values.sum() == pytest.approx(100.0)
    assert intervals.get_xscale() == "log" and "(ms)" in intervals.get_xlabel()
    texts = [t.get_text() for t in cv.get_legend().get_texts()]
    wanted = [f"{n} {analysis.cv_isi(s):.2f}" for n, s in trains.items()]
    assert texts == [*wanted, "Poisson 1"]


def test_many_populations_are_boxes_with_their_quartiles(trains):
    (first, *_) = trains.values()
    many = {f"p{i}": first for i in range(5)}
    values = analysis.rates(first)
    (rates,), (intervals, cv), (_, over_time) = (
        f.axes for f in (plot.rates(many), plot.isis(many), plot.raster(many))
    )
    for ax, n in ((rates, 5), (intervals, 5), (cv, 5)):
        assert len(ax.patches) == n
        ax.figure.canvas.draw()
    box = rates.patches[0].get_path().vertices[:, 0]
    assert (box.min(), box.max()) == pytest.approx(tuple(np.percentile(values, [25, 75])))
    labels = [t.get_text() for t in rates.get_yticklabels()]
    assert labels[0] == f"p0 {values.mean():.1f} Hz" and len(labels) == 5
    (line,) = over_time.patches  # of all neurons
    bin_ = np.diff(line.get_data().edges)[0]
    expected = analysis.population_rate(first, bin_)[1]  # the mean of five that are the same
    np.testing.assert_allclose(line.get_data().values, expected)


def test_distributions_of_silence():
    quiet = {"quiet": Train(np.zeros(0, int), np.zeros(0), 5)}
    for figure in (plot.rates(quiet), plot.isis(quiet), plot.summary(quiet)):
        figure.canvas.draw()


# ---- every figure


def everything(trains):
    times, values = np.arange(1.0, 1001.0), np.random.default_rng(0).normal(-60, 3, (1000, 2))
    return {
        "raster": (plot.raster(trains), 2),
        "trace": (plot.trace(times, values, labels=["a", "b"], threshold=-50.0), 1),
        "rates": (plot.rates(trains), 1),
        "isis": (plot.isis(trains), 2),
        "summary": (plot.summary(trains), 4),
        "summary with traces": (plot.summary(trains, (times, values), threshold=-50.0), 5),
    }


def test_every_figure_is_whole_and_leaves_nothing_behind(trains):
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    for name, (figure, num_axes) in everything(trains).items():
        assert isinstance(figure, Figure), name
        assert len(figure.axes) == num_axes, name
        assert figure._repr_png_().startswith(b"\x89PNG"), name
        page = figure.bbox
        for ax in figure.axes:
            assert ax.get_ylabel(), name
            assert ax.get_xlabel() or ax.get_shared_x_axes().get_siblings(ax) != [ax], name
            # nothing is cut off at the border, and no legend lies on the data
            box = ax.get_tightbbox()
            assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1, name
            assert box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1, name
            if ax.get_legend() is not None:
                assert ax.get_legend().get_window_extent().y0 >= ax.bbox.y1 - 1, name
        pickle.loads(pickle.dumps(figure))
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def test_figures_are_drawn_into_given_axes(trains):
    figure = Figure()
    nested = figure.subfigures(1, 2)[0].subfigures(2, 1)[0]
    a, b = nested.subplots(2)
    for made in (
        plot.raster(trains, ax=a),
        plot.raster(trains, ax=(a, b)),
        plot.raster(trains, ax=np.array([a, b])),
        plot.trace([0.0, 1.0], [0.0, 1.0], ax=a),
        plot.rates(trains, ax=a),
        plot.isis(trains, ax=a),
    ):
        assert made is figure
    assert len(figure.axes) == 2


def test_misuse(trains):
    with pytest.raises(ValueError, match="trains: got {}.*at least one population"):
        plot.raster({})
    with pytest.raises(ValueError, match="max_neurons: got 0"):
        plot.raster(trains, max_neurons=0)
    with pytest.raises(ValueError, match="expected stop > start"):
        plot.raster(trains, start=500.0, stop=400.0)
    with pytest.raises(ValueError, match="inside the recording"):
        plot.rates(trains, stop=5000.0)
    with pytest.raises(TypeError, match="no attribute"):
        plot.raster([1.0, 2.0])
    with pytest.raises(ValueError, match=r"\[time, neuron\].*values.T"):
        plot.trace(np.arange(5.0), np.zeros((3, 5)))
    with pytest.raises(ValueError, match="a sequence of 2 names"):
        plot.trace(np.arange(5.0), np.zeros((5, 2)), labels=["a"])
    with pytest.raises(ValueError, match="ax: got 'left', expected Matplotlib axes"):
        plot.rates(trains, ax="left")
    with pytest.raises(ValueError, match="expected 1 to 2 Matplotlib axes"):
        plot.raster(trains, ax=list(Figure().subplots(3)))


def test_documentation_runs():
    result = doctest.testmod(plot)
    assert result.attempted > 3 and result.failed == 0


def test_matplotlib_is_imported_by_the_first_figure_only():
    code = (
        "import brainjax.plot, sys\n"
        "assert 'matplotlib' not in sys.modules\n"
        "figure = brainjax.plot.trace([0.0, 1.0], [0.0, 1.0])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "sys.modules['matplotlib'] = None\n"
        "try:\n"
        "    brainjax.plot.trace([0.0, 1.0], [0.0, 1.0])\n"
        "except ImportError as error:\n"
        "    assert 'pip install \"brainjax[plot]\"' in str(error), error\n"
        "else:\n"
        "    raise AssertionError('no error without Matplotlib')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
