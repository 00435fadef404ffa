"""The contract of every model in conf/model/. A new yaml file is tested without further code."""

import pytest
import torch

from models.classifier import pool
from models.embedding import Embedding, sinusoidal_positions
from tests.conftest import MODELS, compose_net

# Models in which real tokens see the length of the padding behind them, and why.
PADDED_LENGTH_MATTERS = {
    "fourier": "the DCT runs at the padded length, as the method defines it (models/fourier.py)",
    "fnet": "the Fourier transform runs at the padded length: the method knows no mask",
}
# Parameters that the loss cannot reach, and why.
NO_GRADIENT = {
    # only CLS is read after the last layer, so only the global projections matter there
    ("longformer", "cls"): {"blocks.1.mixer.qkv.weight", "blocks.1.mixer.qkv.bias"},
    # b = 0 at the start, so what it is divided by changes nothing yet
    ("rtf", "mean"): {f"blocks.{layer}.mixer.a" for layer in range(2)},
    ("rtf", "cls"): {f"blocks.{layer}.mixer.a" for layer in range(2)},
}
# The trunk pools, so the fast tests pool by CLS only where a mixer knows about the first position.
CASES = [(model, "mean") for model in MODELS] + [
    (model, "cls")
    if model in ("fourier", "longformer", "luna", "transformer")
    else pytest.param(model, "cls", marks=pytest.mark.slow)
    for model in MODELS
]
B, N = 4, 60
LENGTHS = torch.tensor([[60], [37], [5], [1]])


def net(model, pooling="mean", **settings):
    return compose_net({"model": model, "model.pooling": pooling} | settings)


def ids(seed=0, n=N, documents=1):
    return torch.randint(0, 15, (B, documents, n), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("model, pooling", CASES)
class TestEveryModel:
    @pytest.mark.proof("finite")
    def test_gives_finite_logits_in_float32_and_bf16(self, model, pooling):
        module = net(model, pooling)
        logits = module(ids(), LENGTHS)
        assert logits.shape == (B, 10)
        assert logits.isfinite().all()
        with torch.autocast("cpu", torch.bfloat16):
            half = module.eval()(ids(), LENGTHS)
        assert half.isfinite().all()
        half.float().square().sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
        torch.testing.assert_close(half.float(), module(ids(), LENGTHS), atol=0.015, rtol=0.015)

    @pytest.mark.proof("gradients")
    def test_every_parameter_gets_a_gradient(self, model, pooling):
        module = net(model, pooling)
        module(torch.randint(0, 15, (64, 1, N)), torch.full((64, 1), N)).square().sum().backward()
        without = {n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()}
        assert without == NO_GRADIENT.get((model, pooling), set())

    @pytest.mark.proof("deterministic")
    def test_is_deterministic_in_evaluation_and_not_in_training(self, model, pooling):
        module = net(model, pooling)
        assert not torch.equal(module(ids(), LENGTHS), module(ids(), LENGTHS))
        module.eval()
        assert torch.equal(module(ids(), LENGTHS), module(ids(), LENGTHS))

    @pytest.mark.proof("batch-mates")
    @pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-10)])
    def test_does_not_depend_on_batch_mates(self, model, pooling, dtype, tolerance):
        module = net(model, pooling).to(dtype).eval()
        together = module(ids(), LENGTHS)
        for i in range(B):
            alone = module(ids()[i : i + 1], LENGTHS[i : i + 1])
            torch.testing.assert_close(alone, together[i : i + 1], atol=tolerance, rtol=0)

    @pytest.mark.proof("padding")
    def test_does_not_see_what_stands_in_the_padding(self, model, pooling):
        module = net(model, pooling).double().eval()
        other = torch.where(torch.arange(N) < LENGTHS[..., None], ids(), 7)
        expected = module(ids(), LENGTHS)
        torch.testing.assert_close(module(other, LENGTHS), expected, atol=1e-10, rtol=0)

    @pytest.mark.proof("padding")
    def test_extra_padding_changes_nothing(self, model, pooling):
        if model in PADDED_LENGTH_MATTERS:
            pytest.skip(PADDED_LENGTH_MATTERS[model])
        module = net(model, pooling).double().eval()
        lengths = LENGTHS.clamp(max=40)
        expected = module(ids()[..., :40], lengths)
        torch.testing.assert_close(module(ids(), lengths), expected, atol=1e-10, rtol=0)

    @pytest.mark.proof("lengths")
    @pytest.mark.parametrize("n", [1, 2, 3, 29])
    def test_takes_any_length(self, model, pooling, n):
        logits = net(model, pooling)(ids(n=n), torch.full((B, 1), n))
        assert logits.shape == (B, 10)
        assert logits.isfinite().all()

    @pytest.mark.proof("documents")
    def test_two_documents_are_encoded_alike(self, model, pooling):
        module = net(model, pooling, **{"task.documents": 2}).double().eval()
        two = ids(documents=2)
        lengths = LENGTHS.repeat(1, 2)
        assert module(two, lengths).shape == (B, 10)
        u, v = (module.encode(two[:, p], lengths[:, p]) for p in (0, 1))
        expected = module.head(torch.cat([u, v, u * v, u - v], dim=-1))
        torch.testing.assert_close(module(two, lengths), expected, atol=1e-10, rtol=0)

    @pytest.mark.slow
    @pytest.mark.proof("compiles")
    # the compiler itself instantiates a torch.autograd.Function
    @pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
    def test_compiles_without_graph_breaks(self, model, pooling):
        compiles(model, pooling, LENGTHS, N)

    @pytest.mark.proof("saved")
    def test_weights_saved_and_loaded_give_the_same_logits(self, model, pooling, tmp_path):
        module, other = net(model, pooling).eval(), net(model, pooling, seed=1).eval()
        torch.save(module.state_dict(), tmp_path / "weights")
        other.load_state_dict(torch.load(tmp_path / "weights", weights_only=True))
        assert torch.equal(module(ids(), LENGTHS), other(ids(), LENGTHS))


def compiles(model, pooling, lengths, n):
    """Compares logits and gradients, compiled and eager, of sequences of n positions."""
    batch = ids(n=n)[: len(lengths)]
    module = net(model, pooling, **{"model.seq_len": n, "model.d_model": 64}).double().eval()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    found = []
    for forward in (module, compiled):
        logits = forward(batch, lengths)
        gradients = torch.autograd.grad(
            logits.square().sum(), list(module.parameters()), allow_unused=True
        )
        found.append([logits, *(g for g in gradients if g is not None)])
    for eager, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, eager, atol=1e-9, rtol=1e-7)
    torch._dynamo.reset()


@pytest.mark.parametrize("model", ["fourier", "performer", "transformer"])
def test_the_trunk_compiles(model):
    """Compiles three models; the slow test compiles all of them."""
    compiles(model, "mean", LENGTHS, N)


@pytest.mark.slow
@pytest.mark.proof("compiles")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("n", [2289, 2290])
@pytest.mark.parametrize("model", MODELS)
def test_compiles_on_both_sides_of_the_filter_s_threshold(model, n):
    """At d_model 64 the Fourier filter takes products up to 2,289 positions, then FFTs."""
    compiles(model, "mean", LENGTHS[:2] * n // N, n)


@pytest.mark.proof("learns")
@pytest.mark.parametrize(
    "model",
    [
        m if m in ("fourier", "transformer") else pytest.param(m, marks=pytest.mark.slow)
        for m in MODELS
    ],
)
def test_overfits_64_examples(model, tiny_root):
    """Learns the labels of real expressions by heart."""
    import data_prep
    from lra.training.data import PackedData
    from tests.conftest import TINY, config

    cfg = config.compose([*TINY, f"data.root={tiny_root}"])
    manifest = data_prep.prepare(cfg.task, cfg.data)
    data = PackedData(
        data_prep.folder(cfg.task, cfg.data),
        manifest,
        seq_len=60,
        batch_size=64,
        seed=0,
        limit=None,
    )
    x, lengths, labels, _ = data.splits["train"].__getitems__(list(range(64)))
    module = net(model, **{"model.dropout": 0.0})
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    for _ in range(200):
        logits = module(x, lengths)
        if (logits.argmax(1) == labels).all():
            break
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (module(x, lengths).argmax(1) == labels).float().mean() > 0.95


def test_cls_pooling_reads_the_first_position():
    net = compose_net({"model": "fnet", "model.pooling": "cls"})
    x = torch.randn(2, 3, net.norm.normalized_shape[0])
    assert torch.equal(net.read(x, torch.ones(2, 3, dtype=torch.bool)), net.norm(x[:, 0]))


def test_mean_pooling_counts_real_tokens_only():
    x = torch.arange(6.0).reshape(1, 3, 2)
    mask = torch.tensor([[True, True, False]])
    assert pool(x, mask).tolist() == [[1.0, 2.0]]


def test_the_mask_follows_from_lengths_and_never_from_ids():
    embedding = Embedding(4, vocab_size=15, seq_len=6, cls=True)
    _, mask = embedding(
        torch.zeros(2, 5, dtype=torch.uint8), torch.arange(5) < torch.tensor([[5], [2]])
    )
    assert mask.tolist() == [[True] * 6, [True] * 3 + [False] * 3]


def test_sinusoidal_positions_are_those_of_the_transformer_paper():
    table = sinusoidal_positions(50, 6).double()
    for position in (0, 1, 49):
        for i in range(3):
            angle = torch.tensor(position / 10000 ** (2 * i / 6), dtype=torch.float64)
            torch.testing.assert_close(table[position, 2 * i], angle.sin(), atol=1e-5, rtol=0)
            torch.testing.assert_close(table[position, 2 * i + 1], angle.cos(), atol=1e-5, rtol=0)


def test_a_batch_longer_than_the_model_is_an_error():
    with pytest.raises(ValueError, match="seq_len=60"):
        net("transformer")(ids(n=61), torch.full((B, 1), 61))
