"""CNN/DailyMail: news and their highlights, not anonymised (See et al. 2017, version 3.0.0).

Reads, recognised by their names:
- Hugging Face's csv or parquet, and json lines: article (or document), highlights (or summary), id;
- .story files (paragraphs, then blocks that begin with @highlight), with the url lists
  all_train.txt, all_val.txt and all_test.txt, whose lines' SHA-1 are the stories' names;
- fairseq's train.source, train.target ...: one text a line.
A highlight is a line of the reference. White space around lines is not kept; a .story's paragraphs
are joined by one space, as in the csv.
"""

import hashlib
import re
from pathlib import Path

from data_prep import archive, sources
from data_prep.pack import Manifest
from data_prep.pairs import FILE, FORM, Pair, Record, id_of, lines, make_pairs, read
from lra.errors import UserError
from lra.progress import progress

FOLDERS = ("cnn_dailymail", "cnndm", "cnn_dm")
STORY = re.compile(r"([0-9a-f]{40})\.story$")
URLS = re.compile(r"(?:^|/)all_(train|val|test)\.txt$")
WANTED = re.compile(f"{FILE.pattern}|{STORY.pattern}|{URLS.pattern}")
VERSION = 1  # raise it when the same files give other data


def make(task, data, path: Path) -> Manifest:
    return make_pairs(
        task,
        data,
        path,
        folders=FOLDERS,
        pairs_of=pairs_of,
        version=VERSION,
        files=WANTED,
        form=f"{FORM}, or .story",
    )


def pairs_of(origin: Path) -> dict[str, list[Pair]]:
    stories = next(archive.members(origin, STORY), None) is not None
    return read_stories(origin) if stories else read(origin, pair_of)


def pair_of(record: Record) -> Pair:
    article = either(record, "article", "document")
    highlights = either(record, "highlights", "summary")
    return Pair(id_of(record), spaced(article), ["\n".join(lines(highlights))])


def either(record: Record, usual: str, other: str) -> str:
    """Returns one of two fields; a KeyError names the usual one."""
    return record[other] if other in record and usual not in record else record[usual]


def spaced(article: str) -> str:
    return " ".join(lines(article))


def read_stories(origin: Path) -> dict[str, list[Pair]]:
    """Returns split -> pairs in the order of the url lists."""
    order: dict[str, list[str]] = {}
    for name, stream in archive.members(origin, URLS):
        urls = stream.read().split()
        hashes = [hashlib.sha1(url).hexdigest() for url in urls]
        sources.put(order, URLS.search(name)[1], hashes, name, origin)
    order = {split: order.get(split, []) for split in ("train", "val", "test")}
    texts: dict[str, str] = {}
    with progress("reading stories", sum(map(len, order.values()))) as advance:
        for n, (name, stream) in enumerate(archive.members(origin, STORY), start=1):
            try:
                text = stream.read().decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(f"{name} is not UTF-8 (byte {error.start:,}).") from error
            sources.put(texts, STORY.search(name)[1], text, name, origin)
            advance(n)
    if not any(order.values()):
        raise UserError(
            f"{origin} has stories and no url lists: put all_train.txt, all_val.txt and "
            "all_test.txt beside them, which say the splits."
        )
    absent = [name for names in order.values() for name in names if name not in texts]
    if absent:
        raise UserError(
            f"{origin} lacks {len(absent):,} stories of its url lists, {absent[0]}.story for one."
        )
    return {
        split: [story(name, texts[name]) for name in dict.fromkeys(names)]
        for split, names in order.items()
    }


def story(name: str, text: str) -> Pair:
    """Returns the pair of a .story file."""
    article, *highlights = re.split(r"^@highlight\s*$", text, flags=re.MULTILINE)
    return Pair(name, spaced(article), ["\n".join(" ".join(lines(h)) for h in highlights)])
