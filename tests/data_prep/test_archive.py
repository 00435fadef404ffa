import io
import re
import tarfile
import zipfile

import pytest

from data_prep import archive
from lra.errors import UserError
from tests import originals

WANTED = re.compile(r"(^|/)[ab]\.tsv$")
FILES = {"deep/er/a.tsv": b"alpha", "b.tsv": b"beta", "other.txt": b"x", "xa.tsv": b"y"}
CONTENT = {"deep/er/a.tsv": b"alpha", "b.tsv": b"beta"}


def read(path):
    return {name: stream.read() for name, stream in archive.members(path, WANTED)}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_reads_a_tar_whatever_it_is_called(tmp_path, mode):
    assert read(originals.write_tar(tmp_path / "file.bin", FILES, mode)) == CONTENT


def test_reads_a_zip_a_folder_and_a_folder_of_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "x", "w") as file:
        for name, content in FILES.items():
            file.writestr(name, content)
    assert read(tmp_path / "x") == CONTENT
    assert read(tmp_path) == CONTENT
    assert read(originals.write_folder(tmp_path / "folder", FILES)) == CONTENT


def test_linked_folders_are_read_once_each_and_a_loop_ends(tmp_path):
    folder = originals.write_folder(tmp_path / "elsewhere", FILES)
    source = tmp_path / "source"
    source.mkdir()
    (source / "data").symlink_to(folder)
    (folder / "deep" / "up").symlink_to(folder)  # a loop
    (source / "again").symlink_to(source)
    (source / "nowhere").symlink_to(tmp_path / "missing")
    assert read(source) == {f"data/{name}": content for name, content in CONTENT.items()}
    (source / "b.tsv").symlink_to(folder / "b.tsv")  # of a file
    assert read(source)["b.tsv"] == b"beta"


def test_nothing_lands_outside_and_links_are_not_followed(tmp_path, monkeypatch):
    """Members are read, never extracted, whatever their names say."""
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    hostile = {"../a.tsv": b"1", f"{tmp_path}/absolute/b.tsv": b"2"}
    path = originals.write_tar(tmp_path / "hostile.tar", hostile, "w")
    with tarfile.open(path, "a") as file:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo("link/a.tsv")
            link.type, link.linkname = kind, "/etc/passwd"
            file.addfile(link)
    assert set(read(path).values()) == {b"1", b"2"}
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w") as file:
        file.writestr("../../a.tsv", b"3")
    assert list(read(tmp_path / "hostile.zip").values()) == [b"3"]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["hostile.tar", "hostile.zip", "inside"]


@pytest.mark.parametrize(
    "content, said",
    [(b"<html>404</html>", "an HTML page"), (b"", "an empty file"), (b"abc", "an unknown file")],
)
def test_what_is_no_archive_is_said(tmp_path, content, said):
    (tmp_path / "page.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match=f"page.tar.gz is {said}"):
        read(tmp_path / "page.tar.gz")
    with pytest.raises(UserError, match=f"page.tar.gz is {said}"):  # in a folder, too
        read(tmp_path)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w"])
def test_a_truncated_archive_is_said(tmp_path, mode):
    path = originals.write_tar(tmp_path / "a.tar", {"a.tsv": bytes(range(256)) * 400}, mode)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="damaged|not a tar"):
        read(path)


def test_a_zip_with_a_wrong_sum_is_said(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.tsv", b"alpha beta gamma")
    content = bytearray(path.read_bytes())
    content[content.index(b"gamma")] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read(path)


def test_streams_are_streams(tmp_path):
    path = originals.write_tar(tmp_path / "a", FILES)
    for _, stream in archive.members(path, WANTED):
        assert isinstance(stream, io.BufferedIOBase)
        assert stream.read(1)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_tar_that_ends_early_is_damaged_and_not_short(tmp_path, mode, damage):
    """Reports damage that tarfile takes for the end of the archive: a header it cannot read."""
    import gzip

    files = {f"file{i}.txt": bytes([65 + i]) * 512 for i in range(4)}
    content = originals.write_tar(tmp_path / "a", files, "w").read_bytes()
    second = 1024  # each member: a header and a block
    if damage == "cut":
        content = content[: 2 * second]
    else:
        content = content[: second + 150] + b"\xff" + content[second + 151 :]
    whole = tmp_path / "damaged"
    whole.write_bytes(gzip.compress(content) if mode == "w:gz" else content)
    with pytest.raises(UserError, match="damaged is damaged"):
        list(archive.members(whole, re.compile("txt$")))
