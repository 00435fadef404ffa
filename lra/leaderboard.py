"""One page that opens from disk, without network.

python -m lra.leaderboard                              your rows beside the board's
python -m lra.leaderboard results.root=results/board   the board alone

Writes <results.root>/leaderboard.html.
The table is plain HTML, there without JavaScript as well; with it, one can sort, filter, and click
on a line for its provenance. Charts are plotly's, which is embedded, compressed. Whatever came from
a row or a configuration is escaped by the template (Jinja) or compressed into base64.
"""

import sys
from pathlib import Path

from lra import cli, config
from lra.efficiency import records
from lra.files import replacing
from lra.report.groups import newest
from lra.report.inherited import belongs
from lra.report.leaderboard.lines import charts, figures, measured, withdrawn
from lra.report.leaderboard.page import page
from lra.store import runs

OWN = {"modified": cli.Key("false", "true lets rows in that differ from their protocol")}
KEYS = OWN | {"results.root": cli.ROOT_KEY}


def main() -> None:
    given, overrides = cli.split(sys.argv[1:], OWN)
    cli.only_results(overrides)
    with_modified = cli.truth(given, "modified")
    results = config.compose(overrides).results
    every = runs.read_both(results)
    chosen = [row for row in newest(every) if with_modified or not row.modified or belongs(row)]
    target = Path(results.path) / "leaderboard.html"
    lines = measured(chosen, target)
    shown = lines + withdrawn(every, target) + figures()
    text = page(shown, charts(lines, records.read_both(results)))
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"written: {target} ({len(text) / 1e6:.1f} MB, {len(lines)} lines measured)")


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__, KEYS))
