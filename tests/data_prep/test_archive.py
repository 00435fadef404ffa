import io
import tarfile
import zipfile

import pytest

from data_prep import archive
from lra.errors import UserError

NAMES = {"a.tsv", "b.tsv"}
CONTENT = {"a.tsv": b"alpha", "b.tsv": b"beta"}


def tar(path, mode):
    with tarfile.open(path, mode) as file:
        for name, content in {**CONTENT, "other.txt": b"x"}.items():
            info = tarfile.TarInfo(f"deep/er/{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("b.tsv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_reads_a_tar_whatever_it_is_called(tmp_path, mode):
    tar(tmp_path / "file.bin", mode)
    assert dict(archive.members(tmp_path / "file.bin", NAMES)) == CONTENT


def test_reads_a_zip_a_folder_and_a_folder_of_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as file:
        for name, content in CONTENT.items():
            file.writestr(f"../../{name}", content)  # read, never extracted
    assert dict(archive.members(tmp_path / "x", NAMES)) == CONTENT
    assert dict(archive.members(tmp_path, NAMES)) == CONTENT
    folder = tmp_path / "folder" / "deep"
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    assert dict(archive.members(tmp_path / "folder", NAMES)) == CONTENT


def test_what_is_no_archive_is_said(tmp_path):
    (tmp_path / "page.tar.gz").write_text("<html>404</html>")
    with pytest.raises(UserError, match="no folder, tar or zip"):
        list(archive.members(tmp_path / "page.tar.gz", NAMES))


def test_a_truncated_archive_is_said(tmp_path):
    path = tmp_path / "a.tar.gz"
    tar(path, "w:gz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="damaged|no folder, tar or zip"):
        list(archive.members(path, NAMES))


def test_the_order_of_sources(tmp_path, monkeypatch):
    from types import SimpleNamespace as Data

    monkeypatch.setenv("LRA_ARCHIVES", str(tmp_path))
    assert archive.source("listops", Data(archive=None)) is None
    (tmp_path / "listops").mkdir()
    assert archive.source("listops", Data(archive=None)) == tmp_path / "listops"
    assert archive.source("listops", Data(archive=str(tmp_path))) == tmp_path
    with pytest.raises(UserError, match="does not exist"):
        archive.source("listops", Data(archive=str(tmp_path / "nowhere")))
