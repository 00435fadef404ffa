import json

import pytest

from lra.errors import UserError
from lra.store import runs
from lra.store.row import SCHEMA
from lra.store.version import Newer
from tests.lra.store.test_row import row


def stored(root, name, **changes):
    path = runs.write(root / "runs/listops/fourier", row(cell=name))
    content = json.loads(path.read_text())
    for key, value in changes.items():
        *groups, last = key.split("__")
        at = content
        for group in groups:
            at = at[group]
        at[last] = value
    path.write_text(json.dumps(content))
    return path


NEWER = [{"new_field": 1}, {"schema_version": SCHEMA + 1}, {"speed__new_field": 1.0}]


@pytest.mark.parametrize("changes", NEWER, ids=str)
def test_a_newer_row_is_left_out_with_a_note_and_the_others_stay(tmp_path, capsys, changes):
    stored(tmp_path, "a" * 16)
    path = stored(tmp_path, "b" * 16, **changes)
    (kept,) = runs.read_all(tmp_path)
    assert kept.cell == "a" * 16
    said = capsys.readouterr().err
    assert f"note: 1 left out; {path} was written by a newer version" in said
    assert "git pull" in said
    assert next(iter(changes)).replace("__", ".").replace("schema_version", "schema") in said
    runs.read_all(tmp_path)
    assert not capsys.readouterr().err  # said once
    with pytest.raises(Newer):
        runs.read(path)


@pytest.mark.parametrize(
    "changes", [{"status": "fine"}, {"seed": "x", "new_field": 1}, {"schema_version": "4"}], ids=str
)
def test_a_row_that_is_wrong_is_still_said_to_be(tmp_path, changes):
    path = stored(tmp_path, "a" * 16, **changes)
    with pytest.raises(UserError, match="is not a valid row"):
        runs.read_all(tmp_path)
    with pytest.raises(UserError, match="is not a valid row") as error:
        runs.read(path)
    assert not isinstance(error.value, Newer)
