"""The cost of a step as pictures."""

from pathlib import Path
from typing import Any

LABELS = {
    "neurons": "neurons",
    "synapses": "synapses a neuron",
    "rate": "rate / Hz",
    "spread": "spread of delays / ms",
}


def cost(row, results: list[dict[str, Any]], file: Path) -> None:
    """One panel for each axis, one line for each number of threads."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    figure, panels = plt.subplots(2, 2, figsize=(8, 6), layout="constrained")
    for panel, (axis, label) in zip(panels.flat, LABELS.items(), strict=True):
        for result, style in zip(results, ("o-", "s--"), strict=False):
            if result["error"]:
                continue
            points = result["facts"]["axes"][axis]
            x = [p["rate"] if axis == "rate" else p["value"] for p in points]
            rounds = [r["points"][axis] for r in result["rounds"]]
            y = [min(at) / row.per for at in zip(*rounds, strict=True)]
            threads = f"{result['threads']} thread{'s' * (result['threads'] > 1)}"
            panel.plot(x, y, style, markersize=4, linewidth=1.2, label=threads)
        if axis != "spread":
            panel.set_xscale("log")
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(ticker.NullFormatter())
        panel.set_xlabel(label)
        panel.set_ylabel("µs a step")
        panel.grid(alpha=0.3, which="both", linewidth=0.5)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].legend(frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)
