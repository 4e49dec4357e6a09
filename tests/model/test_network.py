"""The Relational Transformer: sizes, symmetries, who sees whom, a second implementation."""

import dataclasses

import numpy as np
import pytest
import torch

from relscale.model.attention import allowed_pairs
from relscale.model.config import ModelConfig, SamplerConfig
from relscale.model.context import ContextBatch, SemType
from relscale.model.encode import TensorBatch, to_tensors
from relscale.model.items import task_items
from relscale.model.network import RelationalTransformer
from relscale.model.objective import objective
from relscale.model.sampler import sample_contexts

TINY = ModelConfig(n_blocks=2, d_model=64, n_heads=4, d_ff=256)
SMALL = ModelConfig(n_blocks=4, d_model=128, n_heads=4, d_ff=512)


@pytest.fixture(scope="module")
def network() -> RelationalTransformer:
    return RelationalTransformer(TINY, seed=1).eval()


def _predict(network: RelationalTransformer, contexts: ContextBatch, embeddings: np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        return network(network.tensors(contexts, embeddings))


def _change(contexts: ContextBatch, **fields: np.ndarray) -> ContextBatch:
    return dataclasses.replace(contexts, **fields)


@pytest.mark.parametrize(
    ("config", "n_parameters"), [(TINY, 272_771), (SMALL, 1_726_211), (ModelConfig(), 19_189_635)]
)
def test_number_of_parameters(config, n_parameters):
    network = RelationalTransformer(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == n_parameters


def test_keys_and_shapes_are_those_of_the_published_checkpoints():
    d, e, f, d_text = 256, 32, 1024, 384
    types = ["number", "text", "datetime", "boolean"]
    expected: dict[str, list[int]] = {"norm_out.weight": [d]}
    for name in ("number", "datetime", "boolean"):
        expected |= {f"enc_dict.{name}.weight": [d, 1], f"enc_dict.{name}.bias": [d]}
        expected |= {f"dec_dict.{name}.weight": [1, d], f"dec_dict.{name}.bias": [1]}
    for name in ("text", "col_name"):
        expected |= {f"enc_dict.{name}.weight": [d, d_text], f"enc_dict.{name}.bias": [d]}
    expected |= {"dec_dict.text.weight": [d_text, d], "dec_dict.text.bias": [d_text]}
    expected |= {f"norm_dict.{name}.weight": [d] for name in [*types, "col_name"]}
    expected |= {f"mask_embs.{name}": [d] for name in types}
    for n in range(12):
        block = f"blocks.{n}"
        expected |= {f"{block}.norms.{name}.weight": [d] for name in ("col", "feat", "nbr", "ffn")}
        for a in ("col", "feat", "nbr"):
            expected |= {f"{block}.attns.{a}.{w}.weight": [d, d] for w in ("wq", "wk", "wv", "wo")}
            expected |= {f"{block}.attns.{a}.{w}.weight": [e] for w in ("q_norm", "k_norm")}
        expected |= {f"{block}.ffn.w1.weight": [f, d], f"{block}.ffn.w3.weight": [f, d]}
        expected |= {f"{block}.ffn.w2.weight": [d, f]}
    state = RelationalTransformer(ModelConfig()).state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == expected
    assert len(state) == 328


def test_initial_weights_depend_on_the_seed_alone_and_follow_the_framework():
    state = torch.get_rng_state()
    first, again, other = (RelationalTransformer(SMALL, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    name = "blocks.0.attns.col.wq.weight"
    assert not torch.equal(first[name], other[name])
    bound = SMALL.d_model**-0.5
    assert 0.99 * bound < first[name].abs().max() <= bound
    assert first[name].std() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert first["dec_dict.number.bias"].abs().max() <= bound
    assert (first["norm_out.weight"] == 1).all()
    assert torch.stack([first[f"mask_embs.{t}"] for t in ("number", "text")]).std() == pytest.approx(
        1, abs=0.2
    )


def test_the_order_of_cells_does_not_matter(network, random_contexts, random_embeddings):
    contexts = random_contexts(mask_prob=0.3)
    order = np.random.default_rng(0).permutation(contexts.node.shape[1])
    names = [f.name for f in dataclasses.fields(ContextBatch) if f.name != "target"]
    shuffled = _change(contexts, **{name: getattr(contexts, name)[:, order] for name in names})
    before, after = (_predict(network, c, random_embeddings) for c in (contexts, shuffled))
    for b in range(contexts.n_contexts):
        places = order[shuffled.masked[b]]
        expected = before[contexts.masked.nonzero()[0] == b][np.argsort(np.argsort(places))]
        torch.testing.assert_close(after[contexts.masked.nonzero()[0] == b], expected, rtol=0, atol=1e-5)


def test_padding_changes_nothing(network, random_contexts, random_embeddings):
    contexts = random_contexts(context_length=24, mask_prob=0.3)
    extra = {"node": -1, "parents": -1}
    longer = {}
    for field in dataclasses.fields(ContextBatch):
        array = getattr(contexts, field.name)
        width = [(0, 0), (0, 9), (0, 0)][: array.ndim]
        longer[field.name] = np.pad(array, width, constant_values=extra.get(field.name, 0))
    longer["target"] = contexts.target
    before = _predict(network, contexts, random_embeddings)
    after = _predict(network, ContextBatch(**longer), random_embeddings)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


def _reached(contexts: ContextBatch, n_blocks: int) -> np.ndarray:
    """bool [S]: cells that can influence the target of context 0 within n_blocks blocks."""
    tensors = (torch.from_numpy(a[:1]) for a in (contexts.node, contexts.parents, contexts.column))
    pairs = {name: allowed[0, 0].numpy() for name, allowed in allowed_pairs(*tensors).items()}
    seen = np.zeros(contexts.node.shape[1], bool)
    seen[contexts.target[0]] = True
    for _ in range(n_blocks):
        for relation in ("nbr", "feat", "col"):
            seen = seen | pairs[relation][seen].any(axis=0)
    return seen


def test_only_cells_on_a_path_of_masks_reach_the_target(random_contexts, random_embeddings):
    network = RelationalTransformer(TINY.replace(n_blocks=1), seed=1).eval()
    n_inside = n_outside = 0
    for seed in range(8):
        contexts = random_contexts(n_contexts=1, context_length=32, seed=seed)
        before = _predict(network, contexts, random_embeddings)
        reached = _reached(contexts, 1)
        scalar = (contexts.node[0] >= 0) & (contexts.sem_type[0] != SemType.TEXT) & ~contexts.masked[0]
        for place in np.flatnonzero(scalar):
            value = contexts.value.copy()
            value[0, place] += 3
            after = _predict(network, _change(contexts, value=value), random_embeddings)
            assert torch.equal(after, before) != reached[place]
        n_inside += (scalar & reached).sum()
        n_outside += (scalar & ~reached).sum()
    assert n_inside > 20
    assert n_outside > 10


def test_the_hidden_value_is_not_seen(network, random_contexts, random_embeddings):
    contexts = random_contexts(mask_prob=0.3)
    changed = _change(contexts, value=np.where(contexts.masked, contexts.value + 5, contexts.value))
    before, after = (_predict(network, c, random_embeddings) for c in (contexts, changed))
    assert torch.equal(before, after)


def test_every_trained_parameter_gets_a_gradient_and_all_are_finite(random_contexts, random_embeddings):
    network = RelationalTransformer(TINY, seed=1)
    batch = network.tensors(random_contexts(n_contexts=6, mask_prob=0.5), random_embeddings)
    network(batch).sum().backward()
    untouched = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert untouched == ["dec_dict.text.weight", "dec_dict.text.bias"]
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def _rms(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x / torch.sqrt(x.square().mean(-1, keepdim=True) + torch.finfo(x.dtype).eps) * weight


def _plain_forward(w: dict[str, torch.Tensor], config: ModelConfig, contexts, embeddings) -> list[float]:
    """The prediction of every masked cell, written from the papers for one context and head at a time."""
    names = [t.name.lower() for t in SemType]
    vectors = torch.from_numpy(embeddings.astype(np.float32))
    answers = []
    for b in range(contexts.n_contexts):
        length = int((contexts.node[b] >= 0).sum())
        rows = []
        for i in range(length):
            name = names[contexts.sem_type[b, i]]
            column = w["enc_dict.col_name.weight"] @ vectors[contexts.column[b, i]]
            x = _rms(column + w["enc_dict.col_name.bias"], w["norm_dict.col_name.weight"])
            if contexts.masked[b, i]:
                x = x + w[f"mask_embs.{name}"]
            else:
                scalar = torch.tensor([contexts.value[b, i]])
                value = vectors[contexts.text[b, i]] if name == "text" else scalar
                embedded = w[f"enc_dict.{name}.weight"] @ value + w[f"enc_dict.{name}.bias"]
                x = x + _rms(embedded, w[f"norm_dict.{name}.weight"])
            rows.append(x)
        x = torch.stack(rows)
        tensors = (torch.from_numpy(a[b : b + 1, :length]) for a in (contexts.node, contexts.parents))
        column_ids = torch.from_numpy(contexts.column[b : b + 1, :length])
        pairs = allowed_pairs(*tensors, column_ids)
        for n in range(config.n_blocks):
            for a in ("col", "feat", "nbr"):
                prefix = f"blocks.{n}.attns.{a}"
                y = _rms(x, w[f"blocks.{n}.norms.{a}.weight"])
                heads = []
                for h in range(config.n_heads):
                    e = config.d_model // config.n_heads
                    part = slice(h * e, (h + 1) * e)
                    q, k, v = (y @ w[f"{prefix}.{m}.weight"][part].T for m in ("wq", "wk", "wv"))
                    q = _rms(q, w[f"{prefix}.q_norm.weight"])
                    k = _rms(k, w[f"{prefix}.k_norm.weight"])
                    scores = (q @ k.T / e**0.5).masked_fill(~pairs[a][0, 0], float("-inf"))
                    heads.append(torch.nan_to_num(torch.softmax(scores, dim=-1)) @ v)
                x = x + torch.cat(heads, dim=1) @ w[f"{prefix}.wo.weight"].T
            y = _rms(x, w[f"blocks.{n}.norms.ffn.weight"])
            gate, up = (y @ w[f"blocks.{n}.ffn.{m}.weight"].T for m in ("w1", "w3"))
            x = x + (gate * torch.sigmoid(gate) * up) @ w[f"blocks.{n}.ffn.w2.weight"].T
        x = _rms(x, w["norm_out.weight"])
        for i in np.flatnonzero(contexts.masked[b]):
            name = names[contexts.sem_type[b, i]]
            answers.append((w[f"dec_dict.{name}.weight"] @ x[i] + w[f"dec_dict.{name}.bias"]).item())
    return answers


def test_a_second_implementation_agrees(network, random_contexts, random_embeddings):
    contexts = random_contexts(mask_prob=0.3)
    expected = _plain_forward(network.state_dict(), TINY, contexts, random_embeddings)
    found = _predict(network, contexts, random_embeddings)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=2e-6)


def test_bf16_products_stay_close_to_fp32(network, random_contexts, random_embeddings):
    contexts = random_contexts(mask_prob=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        rough = _predict(network, contexts, random_embeddings)
    exact = _predict(network, contexts, random_embeddings)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.05


def _outcome(
    network: RelationalTransformer, batch: TensorBatch
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    network.zero_grad()
    prediction = network(batch)
    objective(prediction, batch).backward()
    grads = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    return prediction.detach(), grads


def _agree(network: RelationalTransformer, contexts: ContextBatch, embeddings: np.ndarray) -> None:
    dense, groups, flex = (
        to_tensors(contexts, embeddings, backend=backend) for backend in ("dense", "groups", "flex")
    )
    expected, expected_grads = _outcome(network, dense)
    found, grads = _outcome(network, groups)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    assert grads.keys() == expected_grads.keys()
    for name, grad in grads.items():
        scale = expected_grads[name].abs().max().item()
        torch.testing.assert_close(grad, expected_grads[name], rtol=1e-4, atol=1e-5 * scale, msg=name)
    with torch.no_grad():  # FlexAttention has no gradient on a CPU
        torch.testing.assert_close(network(flex), expected, rtol=0, atol=2e-6)


flex_on_cpu = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


@flex_on_cpu
@pytest.mark.parametrize("mask_prob", [0.0, 0.5])
@pytest.mark.parametrize("n_blocks", [1, 3])
def test_all_backends_agree(random_contexts, random_embeddings, mask_prob, n_blocks):
    network = RelationalTransformer(TINY.replace(n_blocks=n_blocks, n_heads=2), seed=2)
    contexts = random_contexts(n_contexts=4, context_length=60, mask_prob=mask_prob)
    _agree(network, contexts, random_embeddings)


@flex_on_cpu
def test_all_backends_agree_on_real_contexts(rel_f1_store):
    items = task_items(rel_f1_store.database("rel-f1"), "driver-position", "val").slice(100, 104)
    sampler = SamplerConfig(context_length=256, mask_prob=0.3)
    contexts = sample_contexts(rel_f1_store, ["rel-f1"], items, sampler, seed=0)
    _agree(RelationalTransformer(TINY, seed=3), contexts, rel_f1_store.embeddings)


def test_what_torch_computes_where_nothing_is_compiled_is_the_same(random_contexts, random_embeddings):
    network = RelationalTransformer(TINY, seed=2)
    contexts = random_contexts(n_contexts=4, mask_prob=0.3)
    batch = to_tensors(contexts, random_embeddings, backend="dense")
    fast, fast_grads = _outcome(network, batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("relscale.model.network.fused.can_fuse", lambda x, width: False)
        plain, plain_grads = _outcome(network, batch)
    torch.testing.assert_close(fast, plain, rtol=0, atol=2e-6)
    for name, grad in fast_grads.items():
        torch.testing.assert_close(grad, plain_grads[name], rtol=1e-4, atol=1e-6, msg=name)
