import re
from types import SimpleNamespace as Data

import pytest

from data_prep import download, sources
from data_prep.tasks import text
from lra.errors import UserError
from lra.files import sha256
from tests import originals


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LRA_ARCHIVES", str(tmp_path / "archives"))
    (tmp_path / "archives").mkdir()
    return tmp_path


def find(root, archive=None, original=None):
    data = Data(archive=archive and str(archive), root=str(root / "data"))
    return sources.find("text", data, text.FOLDERS, text.REVIEW, original)


def test_data_archive_comes_first_then_lra_archives_then_the_download(root, monkeypatch):
    fetched = []
    monkeypatch.setattr(download, "fetch", lambda *args: fetched.append(args) or root / "f")
    assert find(root, original=text.ORIGINAL) == root / "f"
    assert len(fetched) == 1
    folder = root / "archives/imdb"
    originals.write_tar(folder / "x", originals.reviews())
    assert find(root, original=text.ORIGINAL) == folder
    assert len(fetched) == 1
    mine = originals.write_tar(root / "mine.tar", originals.reviews())
    assert find(root, archive=mine) == mine


def test_a_folder_that_holds_something_else_is_passed_over(root):
    originals.write_tar(root / "archives/text/x", originals.papers())
    originals.write_tar(root / "archives/imdb/x", originals.reviews())
    assert find(root) == root / "archives/imdb"


def test_the_original_file_itself_may_lie_in_lra_archives(root):
    file = originals.write_tar(root / "archives/aclImdb_v1.tar.gz", originals.reviews())
    assert find(root) == file


def test_what_is_missing_is_said(root):
    with pytest.raises(UserError, match="data.archive=.*nowhere does not exist"):
        find(root, archive=root / "nowhere")
    with pytest.raises(UserError, match="data.archive=PATH, or put it in .LRA_ARCHIVES/text"):
        find(root)


def test_a_source_is_described_by_names_and_sums_without_its_folder(root):
    file = originals.write_tar(root / "archives/imdb/x", originals.reviews())
    originals.write_tar(file.parent / "backup", {"y": b"not read"})
    said = sources.describe(file.parent, text.REVIEW)
    assert said == sources.describe(file, text.REVIEW) == f"x (sha256 {sha256(file)})"
    originals.write_folder(file.parent, {"train/pos/0_9.txt": b"loose"})
    assert sources.describe(file.parent, text.REVIEW) == f"folder imdb, {said}"


def test_a_mistyped_lra_archives_is_said_and_nothing_is_downloaded(root, monkeypatch):
    monkeypatch.setenv("LRA_ARCHIVES", str(root / "nowhere"))
    with pytest.raises(UserError, match="LRA_ARCHIVES=.*nowhere is not a folder"):
        sources.in_archives(["text"], re.compile("x"))
