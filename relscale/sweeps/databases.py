"""The databases of a study: training and held-out ones, generated and tokenized, and the real ones."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from relscale.generation.corpus import database_folders, generate_corpus, reporter
from relscale.generation.priors import find_prior
from relscale.model.store import TokenStore
from relscale.model.tokenize import tokenize_folders
from relscale.platform import remote
from relscale.platform.dataflow import Run
from relscale.platform.errors import ConfigError, DataError
from relscale.platform.progress import bar, stages
from relscale.sweeps.config import StudyConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """The first databases of a token store, as many as the study asks for; the store may hold more."""

    path: Path
    names: tuple[str, ...]
    digests: tuple[str, ...]
    encoder: dict[str, str]
    """Name and fingerprint of the text encoder."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over the content of these databases."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()[:16]


def make_databases(config: StudyConfig, folder: Path, run: Run, *, held_out: bool) -> Databases:
    """Generate and tokenize the training databases of a study, or its held-out ones.

    They lie in `folder`, their token store beside it in `folder`-store.

    Raises
    ------
    DataError : their seeds have grown into the range of the others.
    ConfigError : the text vectors have another width than model.d_text.
    """
    corpus = config.corpus
    n_databases = corpus.held_out_databases if held_out else max(config.grid.n_databases)
    first_seed = corpus.held_out_seed_offset if held_out else corpus.seed_offset
    name = folder.name
    with bar(f"generate {name}", n_databases, "databases") as advance:
        index = generate_corpus(
            folder,
            find_prior(corpus.prior),
            corpus.generator,
            preset=corpus.preset,
            num_databases=n_databases,
            seed_offset=first_seed,
            tasks=corpus.tasks,
            progress=reporter(advance),
            run=run,
        )
    _check_apart(
        first_seed,
        max(index["seed"].to_pylist()),
        corpus.seed_offset if held_out else corpus.held_out_seed_offset,
    )
    with stages(f"tokenize {name}") as progress:
        store = tokenize_folders(
            database_folders(folder),
            folder.with_name(f"{name}-store"),
            config.text,
            progress=progress,
            run=run,
        )
    return _first(store, n_databases, config)


def _first(store: TokenStore, count: int, config: StudyConfig) -> Databases:
    width = store.embeddings.shape[1]
    if width != config.model.d_text:
        raise ConfigError(
            f"model.d_text is {config.model.d_text}, but text encoder '{store.text_encoder['name']}' gives "
            f"vectors of {width}; set model.d_text={width}."
        )
    return Databases(
        path=store.path, names=store.names[:count], digests=store.digests[:count], encoder=store.text_encoder
    )


def _check_apart(first_seed: int, last_seed: int, other: int) -> None:
    if first_seed <= other <= last_seed:
        raise DataError(
            f"seeds {first_seed} to {last_seed} reach the other corpus, which starts at {other}; set "
            "corpus.held_out_seed_offset further away, so that no held-out database is trained on."
        )


def real_database(dataset: str, folder: Path) -> Path:
    """The RelBench 3 folder that `dataset` names.

    Parameters
    ----------
    dataset : "nycflights", which is built below `folder` once; a path or URI; or a RelBench name.

    Raises
    ------
    DataError : not a RelBench 3 folder. ResourceError : the name cannot be fetched.
    """
    if dataset == "nycflights":
        from relscale.generation.flights import build_flights

        flights = build_flights(folder / dataset)
        remote.publish(flights)
        return flights
    from relscale.analysis.zero_shot import open_dataset

    return Path(open_dataset(dataset).dataset_dir)
