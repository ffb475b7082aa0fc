"""Runs: what is in a run folder, what is printed, and how a run may fail."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import h5py
import jax
import numpy as np
import pytest
from experiments.tiny import TINY, run_json, tiny

import brainjax as bj
from brainjax import experiments
from brainjax.cli import main
from brainjax.experiments import load

FILES = {
    "config.toml",
    "manifest.json",
    "summary.json",
    "recordings.h5",
    "raster.png",
    "rates.png",
    "isi.png",
    "trace-v.png",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of one run."""
    where = tmp_path_factory.mktemp("run")
    assert main(["run", str(tiny(where)), "--out", str(where / "out"), "--quiet"]) == 0
    return where / "out"


def test_a_run_folder_holds_everything(folder):
    assert {f.name for f in folder.iterdir()} == FILES
    for picture in folder.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5000
    assert not [f for f in folder.parent.iterdir() if f.name.startswith(".")]


def test_the_summary_is_of_what_was_recorded(folder):
    experiment = load(folder.parent / "tiny.toml")
    built = experiment.build()
    record = {n: bj.Spikes(n) for n in built.names}
    key = jax.random.fold_in(jax.random.key(0), 1)
    warm = bj.simulate(built, 5.0, key=key, record=record)
    result = bj.simulate(built, 20.0, state=warm.state, record=record)
    summary = json.loads((folder / "summary.json").read_text())
    spikes = []
    for position, (name, trains) in enumerate(result.records.items()):
        row = summary["populations"][name]
        assert row["size"] == trains.size
        assert row["rate_hz"] == pytest.approx(len(trains.time) / trains.size / 0.02)
        spikes += [
            (round(t / 0.1), position, int(n))
            for n, t in zip(trains.neuron, trains.time, strict=True)
        ]
    assert spikes and min(spikes)[0] > 50  # the warm-up is not in it
    bytes_ = np.array(sorted(spikes), "<i8").tobytes()
    assert summary["raster_sha256"] == hashlib.sha256(bytes_).hexdigest()
    assert (summary["duration_ms"], summary["warmup_ms"], summary["status"]) == (20.0, 5.0, "done")
    assert summary["real_time_factor"] == pytest.approx(summary["wall_s"] / 0.02)
    assert summary["num_synapses"] == sum(p.num_synapses for p in built.projections.values())
    assert summary["network"]["rate_hz"] == pytest.approx(len(spikes) / 50 / 0.02)
    assert all(summary[k] > 0 for k in ("build_s", "compile_s", "wall_s", "peak_rss_gb"))


def test_recordings_are_read_in_three_lines(folder):
    with h5py.File(folder / "recordings.h5") as file:
        time, neuron = file["spikes/exc/time"][:], file["spikes/exc/neuron"][:]
        v = np.asarray(file["records/v/value"])
    assert len(time) == len(neuron) > 0 and np.min(time) > 5.0 and np.max(time) <= 25.0
    assert v.shape == (200, 2) and -80 < v.min() < v.max() <= -55


def test_the_resolved_config_runs_to_the_same_bits(folder, capsys, tmp_path):
    first = json.loads((folder / "summary.json").read_text())
    again = run_json(capsys, folder / "config.toml", "--out", tmp_path / "again")
    assert again["raster_sha256"] == first["raster_sha256"] and again["name"] == "tiny"
    other = run_json(capsys, folder / "config.toml", "--out", tmp_path / "o", "--set", "seed=1")
    assert other["raster_sha256"] != first["raster_sha256"]


def test_the_manifest_names_the_conditions_of_the_bits(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["versions"]["jax"] == jax.__version__ and manifest["seed"] == 0
    config = (folder / "config.toml").read_bytes()
    assert manifest["config_sha256"] == hashlib.sha256(config).hexdigest()
    conditions = manifest["same_bits_if_equal"]
    assert conditions["ops"] == bj.info()["ops"] and conditions["precision"] == "float32"
    assert manifest["error"] is None and "--out" in manifest["command"]


def test_json_is_all_of_stdout(tmp_path, capsys):
    assert main(["run", str(tiny(tmp_path)), "--json", "--out", str(tmp_path / "o")]) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert list(summary["populations"]) == ["exc", "inh"]
    assert summary == json.loads((tmp_path / "o/summary.json").read_text())
    assert "x real time" in said.err  # the bars


def test_what_a_person_reads(tmp_path, capsys):
    config = TINY + "\n[expected.exc]\nrate_hz = { published = 50.0, one = [900.0, 999.0] }\n"
    assert main(["run", str(tiny(tmp_path, config)), "--out", str(tmp_path / "o")]) == 0
    out = capsys.readouterr().out
    first = out.splitlines()[0]
    assert f"ops: {bj.info()['ops']}" in first and "cpu" in first
    assert "5 ms of warm-up" in out and "discarded" in out
    assert "900..999 (!)" in out and "published" in out and f"wrote {tmp_path / 'o'}" in out


def test_quiet_says_nothing(tmp_path, capsys):
    assert main(["run", str(tiny(tmp_path)), "--quiet", "--out", str(tmp_path / "o")]) == 0
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_a_run_folder_has_a_new_name_by_default(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        run_json(capsys, tiny(tmp_path))
    assert len(list((tmp_path / "runs").glob("tiny-*"))) == 2


@pytest.mark.parametrize("warmup", [0.0, 5.0])
def test_the_warm_up_changes_nothing_but_what_is_recorded(warmup, tmp_path, capsys):
    tiny(tmp_path)
    settings = ["--set", f"warmup={warmup}", "--set", f"duration={25 - warmup}"]
    run_json(capsys, tmp_path / "tiny.toml", "--out", tmp_path / "o", *settings)
    with h5py.File(tmp_path / "o/recordings.h5") as file:
        time = file["spikes/exc/time"][:]
    whole = load(tmp_path / "tiny.toml", {"warmup": 0.0, "duration": 25.0})
    trains = experiments.run(whole).trains["exc"]
    np.testing.assert_array_equal(time, trains.time[trains.time > warmup + 1e-9])


def test_float64_is_float64(tmp_path, capsys):
    out = tmp_path / "o"
    run_json(capsys, tiny(tmp_path), "--out", out, "--set", "precision=float64")
    with h5py.File(out / "recordings.h5") as file:
        assert file["records/v/value"].dtype == np.float64
    assert not jax.config.jax_enable_x64


def test_a_silent_network_has_measures_without_values(tmp_path, capsys):
    silent = TINY.replace("i_e = 600.0", "i_e = 0.0").replace("i_e = 500.0", "i_e = 0.0")
    silent = silent.replace("rate = 500.0", "rate = 0.0").replace("high = -55.0", "high = -60.0")
    summary = run_json(capsys, tiny(tmp_path, silent), "--out", tmp_path / "o")
    row = summary["populations"]["exc"]
    assert row == {"size": 40, "rate_hz": 0.0, "cv_isi": None, "synchrony": None}
    assert {f.name for f in (tmp_path / "o").iterdir()} == FILES


def test_every_kind_of_record_is_kept(tmp_path, capsys):
    config = TINY + textwrap.dedent(
        """
        g = { type = "Trace", population = "inh", field = "syn.i" }
        n = { type = "SpikeCount", population = "exc" }
        rate = { type = "PopulationRate", population = "exc", bin = 1.0 }
        more = { type = "Spikes", population = "inh" }
        """
    )
    summary = run_json(capsys, tiny(tmp_path, config), "--out", tmp_path / "o")
    with h5py.File(tmp_path / "o/recordings.h5") as file:
        records = file["records"]
        assert set(records) == {"v", "g", "n", "rate", "more"}
        assert records["g/value"].shape == (200, 10) and records["rate/rate"].shape == (20,)
        assert records["n"][:].sum() == file["spikes/exc/time"].shape[0]
        np.testing.assert_array_equal(records["more/time"][:], file["spikes/inh/time"][:])
        assert summary["num_spikes"] == sum(
            file[f"spikes/{p}/time"].shape[0] for p in ("exc", "inh")
        )
    assert {"trace-g.png", "rate-rate.png"} <= {f.name for f in (tmp_path / "o").iterdir()}


# ---- how a run may fail


def test_the_folder_is_looked_at_first(tmp_path, capsys):
    file = tiny(tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.pdf").write_text("mine")
    for out, message in [
        (full, "which is not empty', expected a new or an empty folder"),
        (file, "expected a folder"),
        (file / "below", "expected a folder that can be written"),
        ("/proc/nowhere/run", "expected a folder that can be written"),
        (tmp_path / ("x" * 5000), "expected a folder that can be written"),
    ]:
        assert main(["run", str(file), "--out", str(out)]) == 2
        said = capsys.readouterr()
        assert message in said.err and said.out == ""
    assert [f.name for f in full.iterdir()] == ["thesis.pdf"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["run", str(file), "--out", str(empty), "--quiet"]) == 0
    assert {f.name for f in empty.iterdir()} == FILES


def test_misuse_has_exit_code_2(tmp_path, capsys):
    for arguments in (["run"], ["go"], [], ["run", "coba", "--oud", "x"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
    assert main(["run", str(tmp_path / "nobody.toml")]) == 2
    assert main(["describe", "LIIF"]) == 2
    assert "Did you mean 'LIF'" in capsys.readouterr().err


def test_a_state_that_is_not_finite_is_a_failed_run_whose_beginning_is_kept(tmp_path, capsys):
    # A conductance of a negative weight: its neurons explode once spikes arrive, at 15 ms or so.
    config = TINY.replace("ExponentialCurrent", "ExponentialConductance")
    config = config.replace(
        "rate = 500.0\nweight = 50.0", "rate = 900.0\nweight = -1e30\nstart = 15.0"
    )
    out = tmp_path / "o"
    assert main(["run", str(tiny(tmp_path, config)), "--out", str(out), "--quiet"]) == 1
    assert "'inh'" in (said := capsys.readouterr().err) and "NaN or infinity" in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["status"] == "nonfinitestate" and 5 < summary["duration_ms"] < 20
    assert "NaN" in json.loads((out / "manifest.json").read_text())["error"]


def test_what_overflows_is_a_failed_run_and_leaves_nothing(tmp_path, capsys):
    config = TINY + 'few = { type = "Spikes", population = "exc", capacity = 3 }\n'
    assert main(["run", str(tiny(tmp_path, config)), "--out", str(tmp_path / "o"), "--quiet"]) == 1
    assert "capacity" in capsys.readouterr().err
    assert [f.name for f in tmp_path.iterdir()] == ["tiny.toml"]


def brainjax(*arguments, before: str = "") -> subprocess.Popen:
    """The command line in a process of its own, which first runs the code `before`."""
    code = "import sys; from brainjax.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{code}", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_was_recorded(number, tmp_path):
    out = tmp_path / "deep" / "run"
    # Tests that a shell runs in the background have been told to ignore Ctrl-C.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    how = ("--out", out, "--set", "duration=1e7", "--json")
    process = brainjax("run", tiny(tmp_path), *how, before=heard)
    seen = ""
    deadline = time.monotonic() + 120
    while "run      [" not in seen:  # the bar of the recording
        assert time.monotonic() < deadline and process.poll() is None, seen
        seen += process.stderr.read(1)  # type: ignore[union-attr]
    time.sleep(0.5)
    os.kill(process.pid, number)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted after" in said and f"in {out}" in said
    summary = json.loads(printed)
    assert summary["status"] == "interrupted" and 0 < summary["duration_ms"] < 1e7
    with h5py.File(out / "recordings.h5") as file:
        last = float(file["spikes/exc/time"][:][-1])
        assert file["spikes/exc"].attrs["t_stop"] == pytest.approx(5 + summary["duration_ms"])
    assert 0.9 * summary["duration_ms"] < last <= 5 + summary["duration_ms"]
    assert {f.name for f in out.iterdir()} == FILES


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
def test_a_full_disk_leaves_nothing(tmp_path):
    # A file that grows beyond 4 kB fails, as on a full disk.
    little_room = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    file = tiny(tmp_path)
    out = tmp_path / "deep" / "run"
    process = brainjax("run", file, "--out", out, "--quiet", before=little_room)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "could not be written" in said and "Nothing is left of it" in said
    assert [f.name for f in tmp_path.iterdir()] == ["tiny.toml"]


def test_reproduce_compares(tmp_path, capsys):
    config = TINY + "\n[expected.exc]\nrate_hz = { published = 50.0, mean = [1.0, 500.0] }\n"
    assert main(["reproduce", str(tiny(tmp_path, config)), "--seeds", "2"]) == 0
    assert "agrees" in capsys.readouterr().out
    (finding,) = experiments.reproduce([str(tmp_path / "tiny.toml")], seeds=2)
    assert len(set(finding.values)) == 2 and finding.agrees
    config = config.replace("[1.0, 500.0]", "[1.0, 2.0]")
    assert main(["reproduce", str(tiny(tmp_path, config)), "--seeds", "2"]) == 1
    assert "OUTSIDE" in capsys.readouterr().out
    assert main(["reproduce", "coba", "--seeds", "0"]) == 2
