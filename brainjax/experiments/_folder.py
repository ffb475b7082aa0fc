"""A run folder: everything that came out of a run, written at once or not at all."""

import contextlib
import datetime
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import plot
from ..core import explain
from ..ops import info
from ..simulate import RateRecord, TraceRecord
from ._config import without_none
from ._run import Outcome
from ._schema import ConfigError


def check_partners() -> None:
    """Raise `ConfigError` unless what writes recordings and figures is installed."""
    for module in ("h5py", "matplotlib", "tomli_w"):
        if importlib.util.find_spec(module) is None:
            raise ConfigError(
                f"A run folder is written with {module}, which is not installed. Install it with "
                '`pip install "brainjax[plot,io]"`.'
            )


def folder_for(name: str, out: str | Path | None) -> Path:
    """The folder to write to: `out`, or a new one under `runs/`, which can be written.

    **Raises:**

    `ConfigError` if `out` exists and is not an empty folder, or cannot be made.
    """
    folder = _new_folder(name) if out is None else Path(out)
    try:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(explain("--out", got=f"the file {folder}", expected="a folder"))
        if folder.is_dir() and any(folder.iterdir()):
            raise ConfigError(
                explain(
                    "--out",
                    got=f"{folder}, which is not empty",
                    expected="a new or an empty folder",
                    mend="Nothing is overwritten: choose another, or remove it.",
                )
            )
        parent = folder.absolute().parent
        while not parent.exists():
            parent = parent.parent
        for place in (parent, folder) if folder.is_dir() else (parent,):
            os.rmdir(tempfile.mkdtemp(prefix=".brainjax-", dir=place))
    except OSError as error:
        got, expected = f"{folder}: {error.strerror}", "a folder that can be written"
        raise ConfigError(explain("--out", got=got, expected=expected)) from None
    return folder


def _new_folder(name: str) -> Path:
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    folder = first = Path("runs") / f"{name}-{now}"
    number = 2
    while folder.exists():
        folder, number = first.with_name(f"{first.name}-{number}"), number + 1
    return folder


@contextlib.contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `folder` at the end; after an error nothing is left.

    Ctrl-C and SIGTERM are held off meanwhile: what was recorded is worth the moment it takes.
    """
    made = _missing(folder.absolute().parent)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    here = threading.current_thread() is threading.main_thread()
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM) if here}
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        part.chmod(0o755)
        yield part
        if folder.is_dir():
            folder.rmdir()
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _missing(folder: Path) -> list[Path]:
    """The folders that making `folder` makes, innermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing


def write_run(folder: Path, outcome: Outcome, summary: Mapping[str, Any], command: str) -> None:
    """Write config, manifest, summary, recordings and figures of a run.

    **Arguments:**

    - `folder`: which does not exist yet, or is empty.
    - `outcome`: of `run`.
    - `summary`: of `summary_of`.
    - `command`: what started the run, for the manifest.

    **Raises:** `OSError` where it cannot be written; then nothing is left of it.
    """
    import tomli_w

    with made_whole(folder) as part:
        config = tomli_w.dumps(without_none(outcome.experiment.config))
        (part / "config.toml").write_text(config, encoding="utf-8")
        manifest = manifest_of(outcome, config, command)
        for name, content in (("manifest", manifest), ("summary", summary)):
            text = json.dumps(content, indent=2, allow_nan=False) + "\n"
            (part / f"{name}.json").write_text(text, encoding="utf-8")
        (part / "recordings.h5").write_bytes(recordings(outcome))
        for name, figure in figures(outcome).items():
            figure.savefig(part / f"{name}.png")


def manifest_of(outcome: Outcome, config: str, command: str) -> dict[str, Any]:
    """What a run was made with: enough to know whether another must give the same bits."""
    experiment, about = outcome.experiment, info()
    native = Path(about["cuda_library" if about["ops"] == "cuda" else "native_library"])
    ops = experiment.impl if experiment.impl != "auto" else about["ops"]
    partners = ("jax", "jaxlib", "equinox", "numpy", "scipy")
    return {
        "command": command,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "error": None if outcome.error is None else str(outcome.error),
        "own_models": list(experiment.own_models),
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "seed": experiment.seed,
        "versions": {
            "brainjax": about["version"],
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in partners},
        },
        "devices": about["devices"],
        "system": f"{platform.system()} {platform.machine()}",
        "same_bits_if_equal": {
            "brainjax": about["version"],
            "native_library_sha256": hashlib.sha256(native.read_bytes()).hexdigest()
            if ops != "jax" and native.is_file()
            else None,
            # Of drawn weights, delays and initial values: their normal quantiles and exponentials.
            "numpy": importlib.metadata.version("numpy"),
            "scipy": importlib.metadata.version("scipy"),
            "jaxlib": about["jaxlib"],
            "platform": about["platform"],
            "ops": ops,
            "precision": experiment.precision,
            "cpu_features": cpu_features(),
        },
        "wall_s": outcome.times._asdict(),
    }


def cpu_features() -> list[str] | None:
    """The vector instructions of the processor, as far as XLA's code depends on them."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("flags", 1)[1]
    except (OSError, IndexError):
        return None
    known = {"fma", "avx", "avx2", "avx512f"}
    return sorted(known.intersection(flags.split("\n", 1)[0].split()))


def recordings(outcome: Outcome) -> bytes:
    """An HDF5 file: `spikes/POPULATION/{neuron,time}`, `records/NAME/...`.

    It is made in memory and written by Python, whose errors say when a disk is full.
    """
    import h5py

    with h5py.File("recordings.h5", "w", driver="core", backing_store=False) as file:
        file.attrs["dt"] = outcome.experiment.dt
        for section, content in (("spikes", outcome.trains), ("records", outcome.records)):
            group = file.create_group(section, track_order=True)
            for name, record in content.items():
                _store(group, name, record)
        file.flush()
        return file.id.get_file_image()


def _store(group: Any, name: str, record: Any) -> None:
    if not hasattr(record, "_asdict"):
        group.create_dataset(name, data=np.asarray(record))
        return
    inner = group.create_group(name)
    for field, value in record._asdict().items():
        if np.ndim(value):
            inner.create_dataset(field, data=np.asarray(value))
        else:
            inner.attrs[field] = value


def figures(outcome: Outcome) -> dict[str, Any]:
    """The figures of a run: name to figure."""
    if not outcome.recorded:
        return {}
    drawn = {
        "raster": plot.raster(outcome.trains),
        "rates": plot.rates(outcome.trains),
        "isi": plot.isis(outcome.trains),
    }
    for name, record in outcome.records.items():
        recorder = outcome.experiment.record[name]
        if isinstance(record, TraceRecord):
            drawn[f"trace-{name}"] = _trace(outcome, recorder, record)
        elif isinstance(record, RateRecord):
            whose = f"rate of {recorder.population}"
            drawn[f"rate-{name}"] = plot.trace(record.time, record.rate, quantity=whose, unit="Hz")
    return drawn


def _trace(outcome: Outcome, recorder: Any, record: TraceRecord) -> Any:
    """The first 200 ms of a trace, of three neurons at most."""
    population = outcome.experiment.network.populations[recorder.population]
    shown = record.time <= record.time[0] + 200.0
    neurons = record.neurons[:3]
    labels = [f"{recorder.population} {i}" for i in neurons]
    receptor = population.receptors.get(recorder.field.partition(".")[0])
    quantity, unit = recorder.field, "1" if receptor is None else receptor.weight_unit
    threshold = None
    if recorder.field == "v":
        quantity, unit = "membrane potential", "mV"
        v_th = np.asarray(getattr(population.neuron, "v_th", np.nan))
        if v_th.ndim == 0 and np.isfinite(v_th):
            threshold = float(v_th)
    return plot.trace(
        record.time[shown],
        record.value[shown][:, :3],
        labels=labels,
        quantity=quantity,
        unit=unit,
        threshold=threshold,
    )
