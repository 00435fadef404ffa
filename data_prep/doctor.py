"""python -m data_prep doctor: lists the packed data with their origin and their defects."""

from pathlib import Path

import numpy as np

import data_prep
from data_prep.pack import Manifest, Split, load
from lra import config
from lra.errors import UserError
from lra.progress import progress


def report(tasks: list[str], data) -> None:
    """Prints the passport and defects of every task and variant, or the command that makes it."""
    for task in tasks:
        missing = []
        for variant in config.compose([f"task={task}"]).task.variants:
            cfg = config.compose([f"task={task}", f"task.variant={variant}"])
            path = data_prep.folder(cfg.task, data)
            try:
                manifest = data_prep.read_manifest(path)
            except UserError as error:
                print(f"{task}/{variant}\n  DEFECT: {error}\n")
                continue
            if manifest is None:
                missing.append(variant)
                continue
            show(path, manifest, cfg.task.pixels)
            # the same texts in the tokens of pretrained models
            for other in sorted(path.parent.glob(f"{variant}-*")):
                if found := data_prep.read_manifest(other):
                    show(other, found, cfg.task.pixels)
        if missing:
            print(f"{task}: not made: {', '.join(missing)}")
            print(f"  python -m data_prep {task} task.variant={missing[0]}\n")


def show(path: Path, manifest: Manifest, pixels: bool) -> None:
    """Prints the passport and the defects of packed data."""
    print(passport(manifest, pixels))
    for defect in defects(path, manifest, pixels):
        print(f"  DEFECT: {defect}")
    print()


def passport(manifest: Manifest, pixels: bool) -> str:
    lines = [f"{manifest.task}/{manifest.variant}  fingerprint {manifest.fingerprint}"]
    rules = manifest.generator or manifest.reader or {}
    lines.append(f"  source: {manifest.source}")
    if rules:
        lines.append("  by: " + ", ".join(f"{key} {value}" for key, value in rules.items()))
    unit = "pixels" if pixels else "tokens"
    for split, n in manifest.counts.items():
        counts = manifest.label_counts[split]
        labels = f"by label: {' '.join(f'{n:,}' for n in counts)}; " if len(counts) > 1 else ""
        lengths = spread(manifest.token_percentiles[split], unit)
        if targets := manifest.token_percentiles.get(f"{split} targets"):
            lengths += f"; targets {spread(targets, unit)}"
        lines.append(f"  {split}: {n:,} examples; {labels}{lengths}")
    for rule, accuracy in manifest.baselines.items():
        lines.append(f"  {100 * accuracy['test']:.1f} % on test by {rule}")
    for split, rules in manifest.trivial.items():
        for rule, values in rules.items():
            shown = ", ".join(f"{metric} {value:.2f}" for metric, value in values.items())
            lines.append(f"  {rule} on {split}: {shown}")
    lines += [f"  note: {note}" for note in manifest.notes]
    return "\n".join(lines)


def spread(q: dict[str, int], unit: str) -> str:
    """Returns the lengths in words. q: percentile -> tokens."""
    if q["0"] == q["100"]:
        return f"{q['0']:,} {unit}"
    return f"{q['0']:,} - {q['100']:,} {unit}, median {q['50']:,}, 95 % up to {q['95']:,}"


def defects(path: Path, manifest: Manifest, pixels: bool) -> list[str]:
    """Returns the defects that packed data show by themselves. Meaningless labels do not show here;
    they need a probe."""
    try:
        splits = {name: load(path, manifest, name) for name in manifest.counts}
    except UserError as error:
        return [str(error)]
    found = []
    for name, counts in manifest.label_counts.items():
        if manifest.task != "listops" and max(counts) > 1.5 * min(counts) and sum(counts) > 500:
            found.append(f"labels of {name} are out of balance: {counts}")
    if pixels:
        for name, split in splits.items():
            rows = np.reshape(split.ids, (len(split.labels), -1))
            blank = sum(
                int((chunk.min(1) == chunk.max(1)).sum()) for chunk in np.array_split(rows, 50)
            )
            if blank:
                found.append(f"{blank} images of {name} are of one colour")
    if manifest.task in ("pathfinder", "pathx"):
        rule, *_ = [r for r in manifest.baselines if r != "majority label"]
        n = manifest.counts["test"]
        accuracy = manifest.baselines[rule]["test"]
        if n >= 200 and accuracy - 0.5 > 4 * (0.25 / n) ** 0.5:
            found.append(f"{rule} scores {100 * accuracy:.1f} % on test: it should tell nothing")
    shared = len(_keys(splits["train"], manifest) & _keys(splits["test"], manifest))
    if shared and manifest.task != "text":  # IMDb has some, and packing notes them
        found.append(f"{shared} examples of test are also in train")
    return found


def _keys(split: Split, manifest: Manifest) -> set[int]:
    """Returns the set of the hashes of each example's tokens."""
    ids, offsets, labels = split
    per, keys = manifest.documents, set()
    with progress(f"comparing {manifest.task}/{manifest.variant}", len(labels)) as advance:
        for i in range(len(labels)):
            keys.add(hash(ids[offsets[i * per] : offsets[(i + 1) * per]].tobytes()))
            advance(i)
    return keys
