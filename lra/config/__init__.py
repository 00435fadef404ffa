"""The configuration: composing it (composition), checking it (schema), naming its cell (identity),
and reading older ones (upgrade).

Imports lra.errors alone, and Hydra; never torch, so that --help and --cfg answer at once.
"""

from lra.config.composition import (
    CONF,
    choices,
    choices_of,
    compose,
    cost,
    filters,
    flatten,
    folders,
    hydra,
    is_multirun,
    label,
    models,
    objective_file,
    objectives,
    plain,
    resolved,
    task_objective,
    tasks,
    title,
    typed_overrides,
    unlabelled,
    use_own_folder,
    usual_variant,
)
from lra.config.identity import Configuration
from lra.config.schema import check_data

__all__ = [
    "CONF",
    "Configuration",
    "check_data",
    "choices",
    "choices_of",
    "compose",
    "cost",
    "filters",
    "flatten",
    "folders",
    "hydra",
    "is_multirun",
    "label",
    "models",
    "objective_file",
    "objectives",
    "plain",
    "resolved",
    "task_objective",
    "tasks",
    "title",
    "typed_overrides",
    "unlabelled",
    "use_own_folder",
    "usual_variant",
]
