import pytest
import torch

from models.luna import LunaAttention, LunaBlock
from tests.models.agree import assert_same, sequences
from tests.oracles.attention import attention_to

WITHOUT = {
    "limit": "two attentions in a row; nothing it could be equal to",
    "public": "the authors' code is a fork of fairseq, and no package has it",
}


def attend(q, context):
    """Attends with two heads of width 4; context is both key and value."""
    n = len(q)
    heads = []
    for h in (0, 1):
        part = slice(4 * h, 4 * h + 4)
        scores = q[:, part] @ context[:, part].T / 2
        heads.append(scores.softmax(1) @ context[:, part])
    assert len(heads[0]) == n
    return torch.cat(heads, dim=1)


def blocks():
    torch.manual_seed(0)
    settings = {"n_layers": 2, "packed_length": 5, "d_ff": 16}
    mixer = lambda d: LunaAttention(d, n_heads=2)  # noqa: E731
    return [LunaBlock(8, layer=i, mixer=mixer, **settings).double() for i in (0, 1)]


@pytest.mark.proof("definition")
def test_agrees_with_the_definition():
    first, second = blocks()
    x, mask = sequences()
    ours, after = second(*first(x, mask))
    assert torch.equal(after, mask)
    rows = []
    for i, n in enumerate(mask.sum(1).tolist()):
        y, p = x[i, :n], first.p
        for block in (first, second):
            mixer, normed = block.mixer, block.norm1(y)
            packed = attend(mixer.pack_query(block.norm_p(p)), mixer.pack_context(normed))
            y = y + mixer.out(attend(mixer.query(normed), mixer.context(packed)))
            y = y + block.mlp(block.norm2(y))
            p = p + packed
        rows.append(torch.cat([y, y.new_zeros(23 - n, 8)]))
    parameters = [*first.parameters(), *second.parameters()]
    assert_same(ours * mask[..., None], torch.stack(rows), [x, *parameters])


def test_packing_is_softmax_attention():
    torch.manual_seed(0)
    mixer = LunaAttention(4, n_heads=1).double()
    q, context = torch.randn(5, 4).double(), torch.randn(5, 4).double()
    theirs = attention_to(lambda i, j: True, q, context, context)
    torch.testing.assert_close(mixer.attend(q[None], context[None], None)[0], theirs)
