"""The record of a measurement: <root>/efficiency/<model>/<length>-<cell>-<round>.json."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig
from pydantic import PrivateAttr, ValidationError

from lra import config
from lra.config import upgrade
from lra.errors import UserError
from lra.files import replacing
from lra.store import runs
from lra.store.row import Memory, Record
from lra.store.version import all_but_newer, must_not_be_newer

SCHEMA: Literal[2] = 2

OF_FAMILIES = ("encoding", "generation", "encoding_cost")
BUSY = 0.2  # cores kept busy by others, above which the machine was not quiet


class Timing(Record):
    """Seconds of each timed step, the device synchronised at both ends: forward and, in training,
    backward and optimiser.

    step_seconds exclude data_seconds, which fetch the batch, and include optimiser_seconds, which
    hold clipping and zeroing too.
    """

    first_seconds: float  # of the first step, with compile=true compiling included
    step_seconds: list[float]
    data_seconds: list[float]
    optimiser_seconds: list[float]  # empty in inference


class Cost(Record):
    """Costs that no load changes. memory: peak above the level before the model."""

    memory: Memory
    flops: int
    attention: list[str]  # kernels of the model without compiling, by torch's names


class Measurement(Record):
    """One round of one cell. Running out of memory or time is a result; the facts measured by then
    stay."""

    _yours: bool = PrivateAttr(False)  # not stored: read from one's own folder, beside a board
    schema_version: Literal[2] = SCHEMA
    cell: str
    round: int
    model: str
    cost: str
    protocol: str
    length: int
    batch_size: int
    compile: bool
    status: Literal["done", "oom", "timeout"]
    reason: str | None = None
    inference: Timing | None = None
    training: Timing | None = None
    encoding: Timing | None = None  # of networks that write texts, in place of inference
    generation: Timing | None = None
    inference_cost: Cost | None = None
    encoding_cost: Cost | None = None
    training_cost: Cost | None = None
    parameters: int | None = None
    matmul_flops_per_second: float | None = None
    others: float | None = None  # cores that other processes kept busy meanwhile
    wall_seconds: float
    limit_seconds: float
    limit_bytes: int
    overrides: list[str]  # typed beside models, lengths and batch
    environment: dict[str, Any]
    commit: str | None
    dirty: bool | None
    started: str
    config: dict[str, Any]

    @property
    def arena(self) -> bool:
        """True for a model of the arena on byte text; False for the pretrained families."""
        return config.family(self.model) is None

    @property
    def yours(self) -> bool:
        """True if the measurement is the user's own and was read together with a board's."""
        return self._yours

    @property
    def disturbed(self) -> bool:
        return self.others is not None and self.others > BUSY


def cell_id(
    identity: dict[str, Any], environment: dict[str, Any], threads: int, compile: bool
) -> str:
    """Returns the name of a configuration on a machine."""
    machine = {key: environment[key] for key in ("device", "torch", "system", "machine")}
    text = json.dumps([identity, machine, threads, compile], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of today's schema for a measurement of any version up to it."""
    if content.get("schema_version") != 1:
        return content
    identity = upgrade.identity_from_version_1(content["config"])
    environment = content["environment"]
    id_ = cell_id(identity, environment, environment["threads"], content["compile"])
    return content | {"schema_version": SCHEMA, "cell": id_, "config": identity}


def path(root: Path, measurement: Measurement) -> Path:
    name = f"{measurement.length}-{measurement.cell}-{measurement.round}.json"
    return root / "efficiency" / measurement.model / name


def write(root: Path, measurement: Measurement) -> Path:
    target = path(root, measurement)
    # phases that only pretrained families have
    absent = {name for name in OF_FAMILIES if getattr(measurement, name) is None}
    with replacing(target) as temporary:
        temporary.write_text(
            measurement.model_dump_json(indent=1, exclude=absent) + "\n", encoding="utf-8"
        )
    return target


def read_both(results: DictConfig) -> list[Measurement]:
    """Returns the user's own measurements and the board's. results: the config group."""
    own, other = Path(results.path), runs.board(results)
    return read_all(own, yours=other is not None) + (read_all(other) if other else [])


def read_all(root: Path, yours: bool = False) -> list[Measurement]:
    """Returns the measurements of one results folder, in an order that does not depend on the file
    system; those of a newer version are left out with a note."""

    def read(file: Path) -> Measurement:
        content = None
        try:
            content = json.loads(file.read_bytes())
            measurement = Measurement.model_validate(upgraded(content))
            measurement._yours = yours
            return measurement
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, ValidationError):
                must_not_be_newer(file, content, SCHEMA, error)
                first = error.errors()[0]
                reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise UserError(
                f"{file} is not a valid measurement ({reason}): restore it from git or delete it."
            ) from error

    found = all_but_newer(sorted(root.glob("efficiency/*/*.json")), read)
    return sorted(found, key=lambda m: (m.protocol, m.model, m.length, m.cell, m.round))
