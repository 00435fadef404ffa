"""The configuration: composing it (composition), checking it (schema), naming its cell (identity),
and reading older ones (upgrade).

Imports lra.errors alone, and Hydra; never torch, so that --help and --cfg answer at once.
"""

from lra.config.composition import (
    CONF,
    choices,
    compose,
    cost,
    filters,
    flatten,
    is_multirun,
    label,
    models,
    plain,
    resolved,
    task_objective,
    tasks,
    title,
    typed_overrides,
    unlabelled,
    usual_variant,
)
from lra.config.identity import Configuration
from lra.config.schema import check_data

__all__ = [
    "CONF",
    "Configuration",
    "check_data",
    "choices",
    "compose",
    "cost",
    "filters",
    "flatten",
    "is_multirun",
    "label",
    "models",
    "plain",
    "resolved",
    "task_objective",
    "tasks",
    "title",
    "typed_overrides",
    "unlabelled",
    "usual_variant",
]
