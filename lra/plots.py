"""The pictures, from the rows and measurements alone.

python -m lra.plots
python -m lra.plots protocol=matched checkpoint=results/work/<cell>/selected.ckpt

Writes <results.root>/figures/: trade_off (accuracy against speed, the area is memory: the LRA
paper's chart), curves (val accuracy while training, seeds as bands), lengths (time and memory by
length), inherited (texts and pretrained models: the filter's settings, from pretrained and from
random weights) and, with the checkpoint of a Fourier model, filter (what it keeps of a real
example); each as .pdf and .png.
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from lra import cli, config
from lra.efficiency import records
from lra.efficiency.report import benches, largest
from lra.errors import UserError
from lra.report.groups import newest
from lra.report.inherited import belongs, concerns
from lra.report.papers import most_complete
from lra.report.plots import curves, inherited, lengths, save, spectra, trade_off
from lra.store import runs

OWN = {
    "protocol": cli.Key("", "of the trade-off; empty: the one with most models and tasks"),
    "checkpoint": cli.Key("", "a Fourier model's, for the picture of its filter"),
    "modified": cli.Key("false", "true lets rows in that differ from their protocol"),
}
KEYS = OWN | {"results.root": cli.ROOT_KEY}


def main() -> None:
    given, overrides = cli.split(sys.argv[1:], OWN)
    cli.only_results(overrides)
    with_modified = cli.truth(given, "modified")
    cfg = config.compose(overrides)
    path = Path(cfg.results.path)
    every = newest(runs.read_both(cfg.results))
    texts = [row for row in every if belongs(row) or with_modified and concerns(row)]
    chosen = [row for row in every if with_modified or not row.modified]
    measured = benches(records.read_both(cfg.results))
    figures: dict[str, Figure | None] = {}
    if chosen:
        figures["curves"] = curves(chosen)
    if measured:
        bench = largest(measured)
        figures["lengths"] = lengths(bench)
        if chosen:
            given["protocol"] = given["protocol"] or most_complete(chosen)
            protocol = cli.choice(given, "protocol", {row.protocol for row in chosen})
            figures["trade_off"] = trade_off(chosen, protocol, bench)
    if texts:
        figures["inherited"] = inherited(texts)
    if given["checkpoint"]:
        figures["filter"] = spectra(Path(given["checkpoint"]), cfg.data)
    if not any(figures.values()):
        raise UserError(
            f"There is nothing to draw in {path}: run a cell, or python -m lra.efficiency."
        )
    for name, figure in figures.items():
        if figure is None:
            print(f"left out: {name}, for want of rows")
        else:
            save(figure, path / "figures", name)


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__, KEYS))
