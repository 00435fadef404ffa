"""Lists the commands: python -m lra."""

import ast
import sys
from pathlib import Path

from lra import cli

HERE = Path(__file__).parent


def commands() -> dict[str, str]:
    """Returns the first line of the docstring of every command, by its name."""
    files = {p.stem: p for p in HERE.glob("*.py")} | {
        p.parent.name: p for p in HERE.glob("*/__main__.py")
    }
    found = {}
    for name, path in sorted(files.items()):
        text = path.read_text(encoding="utf-8")
        if name != "__main__" and "def main(" in text:
            found[name] = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]
    return found


def main() -> None:
    lines = {"python run.py": "One cell: train, select on val, score test once, record a row."}
    lines |= {"python -m data_prep": "The data of a task, or of all; their passports and defects."}
    lines |= {f"python -m lra.{name}": text for name, text in commands().items()}
    width = max(map(len, lines))
    for command, text in lines.items():
        print(f"{command:{width}}  {text}")
    print("Each prints its keys, their defaults and examples with --help.")


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__))
