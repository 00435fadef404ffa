import re

import pytest

from lra.config import Configuration
from lra.errors import UserError


@pytest.mark.parametrize(
    "override, said",
    [
        ("task.variant=shrt", "Did you mean short"),
        ("seed=-1", "seed=-1"),
        ("optim.decay=steps", "'linear', 'rsqrt', 'cosine' or 'cosine_to_zero'"),
        ("batch_size=0", "batch_size=0"),
        ("+optim.momentum=1", "optim.momentum"),
        ("precision=16", "bf16-mixed"),
        ("model.input=continuous", "grey values, and task=listops has none"),
        ("bucket_by_length=3", "bucket_by_length=3"),
        ("data.processes=-1", "data.processes=-1"),
        ("data.seed=abc", "data.seed=abc"),
        ("optim.clip=inf", "optim.clip=inf: input should be a finite number"),
        ("optim.betas=[1.5,0.9]", r"optim.betas.0=1.5"),
        (
            "model.block.filter_layers=0",
            "model.block.filter_layers=0: input should be a valid list",
        ),
        ("model.block.filter_layers=[0.5]", r"model.block.filter_layers.0=0.5"),
        ("model.block.filter_layers=[-1]", r"model.block.filter_layers.0=-1"),
        ("model.block.filter_layers=null", "input should be a valid list"),
        ("model.block.keep_ratio=0", "model.block.keep_ratio=0.*greater than 0"),
        ("model.block.keep_ratio=half", "model.block.keep_ratio=half"),
        ("results.expire=-5", "results.expire=-5"),
        ("trainer.micro_batch=0", "trainer.micro_batch=0"),
        ("trainer.devices=[0,1]", r"trainer.devices=\[0, 1\]"),
        ("max_steps=5.5", "max_steps=5.5"),
        ("task.variants.standard.counts.val=0", "counts.val=0: give a whole number"),
    ],
)
def test_a_wrong_value_is_said(override, said):
    with pytest.raises(UserError, match=said):
        Configuration.of([override])


@pytest.mark.parametrize(
    "overrides, words",
    [
        (["model.block.filter_layers=[5]"], "there are 2 layers"),
        (["model.block.filter_layers=[-1]"], "model.block.filter_layers.0=-1"),
        (["model.n_layers=1", "filter=progressive"], "there are 1 layers"),
        (["model=performer", "model.attention_dropout=0.5"], "model=performer has no attention_dr"),
        (["model=mega", "model.n_heads=7"], "model=mega has no n_heads"),
        (["model=luna", "model.d_qkv=32"], "model=luna has no d_qkv"),
        (["model.d_model=0"], "model.d_model=0"),
        (["model.dropout=abc"], "model.dropout=abc"),
        (["model.dropout=0.9999999"], "model.dropout=0.9999999"),
        (["model.attention_dropout=1.5"], "model.attention_dropout=1.5"),
    ],
)
def test_a_setting_that_the_model_does_not_have_is_an_error(overrides, words):
    with pytest.raises(UserError, match=re.escape(words)):
        Configuration.of(overrides)
