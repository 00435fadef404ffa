import re
from types import SimpleNamespace as Data

import numpy as np
import pytest

import data_prep
from data_prep import download, sources
from data_prep.pack import Split
from data_prep.tasks import text
from lra import config
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


def test_two_equal_copies_are_one_and_two_others_are_refused(tmp_path):
    def put(found, value):
        sources.put(found, "test", value, "b/basic_test.tsv", tmp_path)

    for value, other in [
        (b"text", b"texts"),
        ((np.arange(3), np.uint8([1])), (np.arange(3), np.uint8([2]))),
        tuple(Split(np.arange(4), np.array([0, n]), np.uint8([1])) for n in (4, 3)),
        (["a", "b"], ["b", "a"]),
    ]:
        found = {}
        put(found, value)
        put(found, value)
        with pytest.raises(UserError, match="b/basic_test.tsv a second time, with other content"):
            put(found, other)


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"\xef\xbb\xbfa\r\nb\r\n\r\n", [(1, b"a"), (2, b"b")]),
        (b"a\n\n \n", [(1, b"a")]),
        (b"a\xef\xbb\xbf\n\xef\xbb\xbfb\n", [(1, b"a\xef\xbb\xbf"), (2, b"\xef\xbb\xbfb")]),
        (b"\n", []),
        (b"", []),
    ],
)
def test_lines_without_what_editors_add(content, expected):
    assert list(sources.lines("x.tsv", content.splitlines(keepends=True))) == expected


def test_an_empty_line_among_others_is_named():
    with pytest.raises(UserError, match="x.tsv, line 2 is empty, and others follow"):
        list(sources.lines("x.tsv", [b"a\n", b"\n", b"\n", b"b\n"]))


HEAD = b"Source\tTarget\n"
COPIES = {
    "listops": (
        "basic_train.tsv",
        b"Source\tTarget\n[MAX 1 2 ]\t2\n",
        b"Source\tTarget\n[MIN 1 2 ]\t1\n",
    ),
    "text": ("train/pos/0_9.txt", b"good", b"better"),
}


@pytest.mark.parametrize("task", COPIES)
def test_a_source_with_two_versions_of_a_file_is_refused(tmp_path, task):
    name, one, other = COPIES[task]
    for folder, content in (("a", one), ("b", other)):
        path = tmp_path / "source" / folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    variant = ["task.variant=sample"] if task == "listops" else []
    cfg = config.compose(
        [f"task={task}", *variant, f"data.archive={tmp_path}/source", f"data.root={tmp_path}/data"]
    )
    with pytest.raises(UserError, match=f"b/{name} a second time"):
        data_prep.prepare(cfg.task, cfg.data)
