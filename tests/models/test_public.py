"""The comparison of our mechanisms with public implementations that have the same weights.

A test skips if its package is missing: pip install -r requirements-oracles.txt. Outputs and
gradients to the inputs are compared at the real tokens, in float64. Where an implementation is
known to differ, its test says how, and corrects the difference from outside.
"""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import SoftmaxAttention
from models.bigbird import BigBirdAttention
from models.fnet import FourierMixing
from models.hrrformer import HolographicAttention
from models.informer import ProbSparseAttention
from models.linear_transformer import LinearAttention
from models.linformer import LinformerAttention
from models.local import LocalAttention
from models.longformer import LongformerAttention
from models.lru import LRU
from models.nystromformer import NystromAttention
from models.performer import PerformerAttention
from models.reformer import LSHAttention
from models.s4d import S4D
from models.s5 import S5
from models.sinkhorn import SinkhornAttention, sinkhorn
from tests.models.agree import assert_same, heads, sequences

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.proof("public"),
    pytest.mark.filterwarnings("ignore"),  # the packages' warnings
]


def public(model: str):
    return pytest.mark.parametrize("model", [model])


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def package(name: str):
    return pytest.importorskip(name, reason="pip install -r requirements-oracles.txt")


def transformers(name: str):
    return package(f"transformers.models.{name}")


def copy(source, *targets) -> None:
    """Copies the parts of a stacked linear layer, or one parameter, into another module."""
    if isinstance(source, Tensor):
        targets[0].data.copy_(source)
        return
    for name in ("weight", "bias"):
        parts = getattr(source, name).chunk(len(targets))
        for target, part in zip(targets, parts, strict=True):
            if getattr(target, name) is None:  # their layer has no bias
                part.data.zero_()
            else:
                getattr(target, name).data.copy_(part)


def without_output(module: nn.Module) -> nn.Module:
    """Removes the last projection, which some implementations leave to another module."""
    module.out = nn.Identity()
    return module.double().eval()


def at(mask: Tensor, y: Tensor) -> Tensor:
    return y * mask[..., None]


@public("transformer")
def test_transformer(model):
    ours = SoftmaxAttention(8, n_heads=2).double().eval()
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).double().eval()
    copy(ours.qkv.weight, theirs.in_proj_weight)
    copy(ours.qkv.bias, theirs.in_proj_bias)
    copy(ours.out, theirs.out_proj)
    x, mask = sequences()
    y = theirs(x, x, x, key_padding_mask=~mask, need_weights=False)[0]
    assert_same(at(mask, ours(x, mask)), at(mask, y), [x])


@public("longformer")
@pytest.mark.parametrize("tokens", [0, 1, 3])
def test_longformer(model, tokens):
    config = transformers("longformer").LongformerConfig(
        hidden_size=8, num_attention_heads=2, attention_window=[8], attention_probs_dropout_prob=0.0
    )
    modeling = transformers("longformer.modeling_longformer")
    theirs = modeling.LongformerSelfAttention(config, layer_id=0).double().eval()
    ours = without_output(LongformerAttention(8, n_heads=2, window=8, global_tokens=tokens))
    copy(ours.qkv, theirs.query, theirs.key, theirs.value)
    if tokens:
        copy(ours.global_qkv, theirs.query_global, theirs.key_global, theirs.value_global)
    # Their gradients are NaN if a padded query sees nothing at all, so padding is short here.
    x, mask = sequences(lengths=(32, 29), N=32)
    role = torch.where(mask, 0, -10000)
    role[:, :tokens] = 10000
    y = theirs(
        x,
        attention_mask=role,
        is_index_masked=role < 0,
        is_index_global_attn=role > 0,
        is_global_attn=tokens > 0,
    )[0]
    # Their softmax is always float32: weights up to 1, rounded to 6e-8.
    assert_same(at(mask, ours(x, mask)), at(mask, y), [x], atol=1e-6)


@public("bigbird")
@pytest.mark.parametrize("random_blocks", [1, 2, 3])
def test_bigbird(model, random_blocks):
    N, block = 48, 4
    config = transformers("big_bird").BigBirdConfig(
        hidden_size=8,
        num_attention_heads=2,
        block_size=block,
        num_random_blocks=random_blocks,
        max_position_embeddings=N,
    )
    modeling = transformers("big_bird.modeling_big_bird")
    # In evaluation theirs takes block 0 in place of each random block, so it stays in training
    # mode; it has no dropout to turn off.
    theirs = modeling.BigBirdBlockSparseAttention(config, seed=1).double().train()
    ours = BigBirdAttention(8, n_heads=2, seq_len=N, block=block, random_blocks=random_blocks)
    ours = without_output(ours)
    copy(ours.qkv, theirs.query, theirs.key, theirs.value)

    draw, drawn = theirs._bigbird_block_rand_mask_with_head, []

    def remember(**settings):
        drawn.append(draw(**settings))
        return drawn[0]

    theirs._bigbird_block_rand_mask_with_head = remember
    # Their last block is the last of the padded length, so each example has a token in it here.
    x, mask = sequences(lengths=(N, N - 3), N=N)
    real = mask.double()
    blocked, band, queries, keys = modeling.BigBirdModel.create_masks_for_block_sparse_attn(
        real, block
    )
    y = theirs(x, band, queries, keys, blocked, blocked)[0]
    ours.draw.zero_()
    for head, rows in enumerate(drawn[0]):  # rows of random blocks, from the second block on
        for row, columns in enumerate(rows, start=1):
            ours.draw[head, row, torch.from_numpy(columns).long()] = 1.0
    assert (ours.draw.sum(-1)[:, 1 : N // block - 1] == random_blocks).all()
    assert_same(at(mask, ours(x, mask)), at(mask, y), [x])


def nystromformer(batch, n_heads, iterations=6):
    """Returns ours, theirs (of 6 iterations), x and mask, without padding, since theirs cuts the
    padded length."""
    config = transformers("nystromformer").NystromformerConfig(
        hidden_size=8,
        num_attention_heads=n_heads,
        num_landmarks=6,
        segment_means_seq_len=24,
        conv_kernel_size=5,
        attention_probs_dropout_prob=0.0,
    )
    modeling = transformers("nystromformer.modeling_nystromformer")
    theirs = modeling.NystromformerSelfAttention(config).double().eval()
    ours = NystromAttention(8, n_heads=n_heads, landmarks=6, iterations=iterations, conv_kernel=5)
    ours = without_output(ours)
    copy(ours.qkv, theirs.query, theirs.key, theirs.value)
    copy(ours.conv.weight, theirs.conv.weight)
    x, mask = sequences(lengths=(24,) * batch, N=24)
    return ours, theirs, x, mask


@public("nystromformer")
def test_nystromformer_of_one_matrix(model):
    # Theirs starts from the largest norm in the batch: one example and one head have only one norm.
    ours, theirs, x, mask = nystromformer(batch=1, n_heads=1)
    assert_same(ours(x, mask), theirs(x)[0], [x])


@public("nystromformer")
def test_nystromformer_of_a_batch(model):
    ours, theirs, x, mask = nystromformer(batch=3, n_heads=2)
    # Their other start takes the norm of each matrix. No config reaches this start: the option that
    # should raises a TypeError.
    theirs.init_option = "exact"
    assert_same(ours(x, mask), theirs(x)[0], [x])


@public("nystromformer")
@pytest.mark.parametrize("batch, n_heads, iterations", [(1, 1, 6), (3, 2, 30)])
def test_nystromformer_of_nystrom_attention(model, batch, n_heads, iterations):
    code = package("nystrom_attention")
    theirs = code.NystromAttention(
        8,
        dim_head=8 // n_heads,
        heads=n_heads,
        num_landmarks=6,
        pinv_iterations=iterations,
        residual_conv_kernel=5,
    )
    theirs = theirs.double().eval()
    ours = NystromAttention(8, n_heads=n_heads, landmarks=6, iterations=iterations, conv_kernel=5)
    ours = ours.double().eval()
    copy(ours.qkv.weight, theirs.to_qkv.weight)
    ours.qkv.bias.data.zero_()
    copy(ours.out, theirs.to_out[0])
    copy(ours.conv.weight, theirs.res_conv.weight)
    # Theirs pads in front, up to a multiple of the landmarks, so 24 tokens here. Its iteration
    # starts from the largest norm in the batch, so several matrices agree only once the inverse has
    # converged.
    x, mask = sequences(lengths=(24,) * batch, N=24)
    assert_same(ours(x, mask), theirs(x), [x], atol=1e-9 if batch == 1 else 1e-8)


@public("fnet")
@pytest.mark.parametrize("N, D", [(23, 8), (24, 7)])
def test_fnet(model, N, D):
    config = transformers("fnet").FNetConfig(hidden_size=D, use_tpu_fourier_optimizations=False)
    theirs = transformers("fnet.modeling_fnet").FNetBasicFourierTransform(config)
    x, mask = sequences(lengths=(N, N), N=N, D=D)
    # Theirs is not scaled; ours is orthonormal.
    assert_same(FourierMixing(D)(x, mask) * math.sqrt(N * D), theirs(x)[0], [x])


def reformer(hashes):
    config = transformers("reformer").ReformerConfig(
        hidden_size=8,
        num_attention_heads=2,
        attention_head_size=4,
        lsh_attn_chunk_length=8,
        lsh_num_chunks_before=1,
        lsh_num_chunks_after=0,
        lsh_attention_probs_dropout_prob=0.0,
        num_hashes=hashes,
        num_buckets=8,
        hash_seed=3,
        is_decoder=False,
    )
    theirs = transformers("reformer.modeling_reformer").LSHSelfAttention(config).double().eval()
    # Theirs adds 1e-6 to the mean square by which it normalises a key.
    theirs._len_norm = partial(theirs._len_norm, epsilon=0.0)
    ours = without_output(LSHAttention(8, n_heads=2, seq_len=32, chunk=8, hashes=hashes))
    copy(ours.qk, theirs.query_key)
    copy(ours.value, theirs.value)
    torch.manual_seed(3)  # theirs draws its rotations after this seed
    rotations = torch.randn(2, 4, hashes, 4, dtype=torch.float64)
    copy(rotations.transpose(1, 2), ours.rotations)
    return ours, theirs


@public("reformer")
def test_reformer(model):
    ours, theirs = reformer(hashes=1)
    # Their first chunk looks back to the end of the padded length, so a token must be there.
    x, mask = sequences(lengths=(32, 27), N=32)
    y = theirs(x, attention_mask=mask.long()).hidden_states
    assert_same(at(mask, ours(x, mask)), at(mask, y), [x])


@public("reformer")
def test_reformer_of_several_hashes(model):
    ours, theirs = reformer(hashes=3)
    x, mask = sequences(lengths=(32, 32), N=32)
    # The first chunk of a round looks back into the previous round in theirs, and to the end of its
    # own round in ours. Tokens in a first chunk are left out, for each head.
    with torch.no_grad():
        qk = ours.qk(x).unflatten(-1, (2, 4)).transpose(1, 2)
        first = ours.sort(qk, mask)[..., :8].flatten(2)
    same = torch.ones(2, 2, 32, dtype=torch.bool).scatter(2, first, False)
    assert same.sum() >= 32
    same = same.transpose(1, 2)[..., None]  # (B, N, H, 1)
    y = theirs(x).hidden_states.unflatten(-1, (2, 4))
    assert_same(ours(x, mask).unflatten(-1, (2, 4)) * same, y * same, [x])


@public("reformer")
def test_reformer_of_reformer_pytorch(model):
    code = package("reformer_pytorch.reformer_pytorch")
    theirs = code.LSHAttention(bucket_size=8, n_hashes=1).eval()
    ours = without_output(LSHAttention(8, n_heads=2, seq_len=32, chunk=8, hashes=1))
    x, mask = sequences(lengths=(32, 32), N=32)
    # Theirs has one bucket for each chunk, where the paper has two, and the same rotations for all
    # heads.
    torch.manual_seed(3)
    rotations = torch.randn(4, 1, 2, dtype=torch.float64)
    ours.rotations = rotations.transpose(0, 1).expand(2, -1, -1, -1)
    qk, v = (
        linear(x).unflatten(-1, (2, 4)).transpose(1, 2).flatten(0, 1)
        for linear in (ours.qk, ours.value)
    )
    torch.manual_seed(3)
    # Theirs divides by sqrt(K) although its keys have length 1, so the queries are longer here.
    # Its masked tokens stay in the buckets where they fall, so no token is masked here.
    y = theirs(qk * 2, v)[0].unflatten(0, (2, 2)).transpose(1, 2).flatten(2)
    assert_same(ours(x, mask), y, [x])


@public("performer")
def test_performer(model, monkeypatch):
    code = package("performer_pytorch.performer_pytorch")
    ours = PerformerAttention(8, n_heads=2, features=7).double().eval()
    theirs = code.FastAttention(dim_heads=4, nb_features=7).double()
    theirs.projection_matrix.copy_(ours.features)
    # Masked keys stay in their denominator, so there is no padding here.
    q, k, v, mask = heads(lengths=(23, 23))
    # Without eps the maxima that are subtracted cancel.
    ours.eps = 0.0
    monkeypatch.setattr(code, "softmax_kernel", partial(code.softmax_kernel, eps=0.0))
    assert_same(ours.attend(q, k, v, mask), theirs(q, k, v), [q, k, v])


@public("performer")
def test_performer_with_eps(model, monkeypatch):
    code = package("performer_pytorch.performer_pytorch")
    ours = PerformerAttention(8, n_heads=2, features=7).double().eval()
    theirs = code.FastAttention(dim_heads=4, nb_features=7).double()
    theirs.projection_matrix.copy_(ours.features)
    *inputs, mask = heads(lengths=(23, 23))
    q, k, v = 3 * F.normalize(inputs[0], dim=-1), 3 * F.normalize(inputs[1], dim=-1), inputs[2]
    # Theirs subtracts the largest w.x and not the largest w.x - |x|^2 / 2, so its eps weighs
    # exp(|x|^2 / 2) times as much as ours. With every x of one length, this is one factor.
    eps = 1e-4 * math.exp(-(3**2) / 4**0.5 / 2)
    monkeypatch.setattr(code, "softmax_kernel", partial(code.softmax_kernel, eps=eps))
    assert_same(ours.attend(q, k, v, mask), theirs(q, k, v), inputs)


@public("linear_transformer")
def test_linear_transformer(model):
    code = package("performer_pytorch.performer_pytorch")
    ours = LinearAttention(8, n_heads=2)
    q, k, v, mask = heads(lengths=(23, 23))  # theirs has no mask
    # Their linear attention takes any feature map: here the paper's, without a projection.
    phi = partial(
        code.generalized_kernel,
        projection_matrix=None,
        kernel_fn=lambda x: F.elu(x) + 1,
        kernel_epsilon=0.0,
        normalize_data=False,
    )
    assert_same(ours.attend(q, k, v, mask), code.linear_attention(phi(q), phi(k), v), [q, k, v])


@public("linformer")
@pytest.mark.parametrize("share", ["key_value", "heads"])
@pytest.mark.parametrize("N", [23, 17])
def test_linformer(model, share, N):
    code = package("linformer")
    ours = LinformerAttention(8, n_heads=2, seq_len=23, features=5, share=share).double().eval()
    # Their share_kv makes values and keys the same, not only E and F.
    theirs = code.LinformerSelfAttention(8, seq_len=24, k=5, heads=2).double().eval()
    copy(ours.qkv, theirs.to_q, theirs.to_k, theirs.to_v)
    copy(ours.out, theirs.to_out)
    copy(ours.projection[0, 0].T, theirs.proj_k)
    copy(ours.projection[-1, 0].T, theirs.proj_v)
    x, mask = sequences(lengths=(N, N), N=N)  # theirs has no mask
    assert_same(ours(x, mask), theirs(x), [x])


@public("sinkhorn")
@pytest.mark.parametrize("iterations", [1, 8])
def test_sinkhorn_iteration(model, iterations):
    code = package("sinkhorn_transformer.sinkhorn_transformer")
    scores = torch.randn(3, 5, 5, dtype=torch.float64, requires_grad=True)
    ours = sinkhorn(scores[:, None], torch.ones(3, 1, 5, dtype=torch.bool), iterations)[:, 0]
    # Their operator is compared without the log of the scores, which come out of a relu.
    assert_same(ours, code.sinkhorn_sorting_operator(scores, iterations), [scores])


@public("sinkhorn")
@pytest.mark.parametrize("lengths", [(20, 20), (20, 18), (13, 6)])
def test_sinkhorn_attention(model, lengths):
    code = package("sinkhorn_transformer.sinkhorn_transformer")
    ours = SinkhornAttention(8, n_heads=2, seq_len=20, block=5)
    theirs = code.SinkhornAttention(bucket_size=5, dim=8, dim_heads=8, heads=2, max_seq_len=20)
    q, k, v, mask = heads(lengths=lengths, N=20)
    S = torch.rand(2, 2, 4, 4, dtype=torch.float64)
    if not mask.all():
        # Their mask follows the largest entry of a row: with padding, each row has only one.
        S = F.one_hot(S.argsort(-1)[:, :, 0], 4).double()
    theirs.sort_net.forward = lambda q, k, topk: S.flatten(0, 1)
    # Their sorted values are the sorted keys, a slip. So the keys also carry the values, where the
    # queries are 0. The queries are multiplied by sqrt(2), since they are twice as wide then.
    both = torch.cat([k, v], dim=-1)
    queries = torch.cat([q * math.sqrt(2), torch.zeros_like(q)], dim=-1)
    y = theirs(queries, both, both, q_mask=mask)[..., 4:]
    real = mask[:, None]
    assert_same(at(real, ours.attend(q, k, v, mask, S)), at(real, y), [q, k, v])


@public("local")
@pytest.mark.parametrize("window", [5, 23, 40])
def test_local(model, window):
    code = package("local_attention")
    ours = LocalAttention(8, n_heads=2, window=window)
    theirs = code.LocalAttention(
        window, look_backward=0, look_forward=0, autopad=True, use_rotary_pos_emb=False
    )
    q, k, v, mask = heads()
    # Theirs gets a mask: without a mask it attends to the zeros that it pads with.
    y, real = theirs(q, k, v, mask=mask), mask[:, None]
    assert_same(at(real, ours.attend(q, k, v, mask)), at(real, y), [q, k, v])


@public("informer")
def test_informer(model, monkeypatch):
    modeling = transformers("informer.modeling_informer")
    # 2 ceil(ln 33) = 8 queries are selected.
    theirs = modeling.InformerProbSparseAttention(8, 2, sampling_factor=2).double().eval()
    ours = ProbSparseAttention(8, n_heads=2, features=8).double().eval()
    copy(ours.qkv, theirs.q_proj, theirs.k_proj, theirs.v_proj)
    copy(ours.out, theirs.out_proj)
    x, mask = sequences(lengths=(32, 32), N=32)  # their sample, measure and mean have no mask
    # Theirs draws as many keys as a sequence has, N times too many, and not for each query. Here
    # it gets each of our 8 keys four times instead, with the same maximum and mean.
    sample = (ours.draw * 32).long().repeat(4)
    monkeypatch.setattr(torch, "randint", lambda *arguments: sample)
    assert_same(ours(x, mask), theirs(x)[0], [x])


@public("s4d")
def test_s4d(model):
    code = package("s5")
    ours = S4D(4, d_state=8).double().eval()
    ours.log_a_real.data += 0.1 * torch.randn(4, 4)
    x, mask = sequences(lengths=(23, 23), D=4)

    def system(channel, direction):
        """Returns S5 on a single channel, which is S4D, with our weights of one direction."""
        theirs = code.S5(1, state_width=4, bcInit="dense").double().seq
        a = torch.complex(-ours.log_a_real[channel].exp(), ours.a_imag[channel])
        theirs.Lambda.data = a.detach()
        theirs.B.data = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(4, 1, 2)
        # Theirs adds no conjugate states, so C is doubled.
        theirs.C.data = 2 * torch.view_as_complex(ours.c[direction, channel])[None].detach()
        theirs.D.data = (1 - direction) * ours.d[channel : channel + 1].detach()
        theirs.log_step.data = ours.log_dt[channel].detach().expand_as(theirs.log_step)
        return lambda u: torch.stack([theirs(row) for row in u])

    channels = []
    for channel in range(4):
        u = x[..., channel : channel + 1]
        # Both of their directions count the position itself. Ours, as in S4, starts the second
        # direction at the next position.
        after = system(channel, 0)(u)
        before = system(channel, 1)(u.flip(1)).flip(1)
        channels.append(after + F.pad(before[:, 1:], (0, 0, 0, 1)))
    y = F.glu(ours.out(F.gelu(torch.cat(channels, dim=-1))))
    assert_same(ours(x, mask), y, [x])


@public("hrrformer")
def test_hrrformer(model):
    code = package("HRR.with_pytorch")
    ours = HolographicAttention(8, n_heads=2).double().eval()
    q, k, v, mask = heads(lengths=(23, 23))
    bound = code.binding(k, v, dim=-1).sum(2, keepdim=True)
    found = code.unbinding(bound, q, dim=-1)
    weights = code.cosine_similarity(v, found, dim=-1, keepdim=True).softmax(2)
    assert_same(ours.attend(q, k, v, mask), weights * v, [q, k, v])


@public("s5")
def test_s5(model):
    code = package("s5")
    ours = S5(4, d_state=8, blocks=2).double().eval()
    x, mask = sequences(lengths=(23, 23), D=4)

    def system(direction):
        """Returns theirs with our weights of one direction."""
        theirs = code.S5(4, state_width=4, bcInit="dense").double().seq
        theirs.Lambda.data = torch.complex(ours.a_real, ours.a_imag).detach()
        theirs.B.data = ours.b.detach()
        # Theirs adds no conjugate states, so C is doubled.
        theirs.C.data = 2 * torch.view_as_complex(ours.c[direction]).detach()
        theirs.D.data = (1 - direction) * ours.d.detach()
        theirs.log_step.data = ours.log_dt.detach().view_as(theirs.log_step)
        return lambda u: torch.stack([theirs(row) for row in u])

    y = system(0)(x) + system(1)(x.flip(1)).flip(1)
    assert_same(ours(x, mask), y * ours.out(F.gelu(y)).sigmoid(), [x])


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@public("lru")
def test_lru(model, float64):
    code = package("LRU_pytorch")
    ours = LRU(8, d_state=6)
    x, mask = sequences(lengths=(11, 11), N=11)

    def system(direction):
        """Returns theirs with our weights of one direction: theirs runs forwards only, and into a
        tensor of the default precision."""
        theirs = code.LRU(8, 8, 6)
        copy(ours.nu, theirs.nu_log)
        copy(ours.theta, theirs.theta_log)
        copy(ours.log_gamma, theirs.gamma_log)
        copy(torch.complex(*ours.b.weight.chunk(2)), theirs.B)
        columns = ours.c.weight.chunk(4, dim=1)  # real parts of both directions, then imaginary
        copy(torch.complex(columns[direction], -columns[2 + direction]), theirs.C)
        # Theirs has a matrix in place of d, which counts in one direction only.
        copy((1 - direction) * ours.d.diag(), theirs.D)
        return theirs

    y = system(0)(x) + system(1)(x.flip(1)).flip(1)
    assert_same(ours(x, mask), F.glu(ours.out(F.gelu(y))), [x])
