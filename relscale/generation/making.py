"""One database of a corpus: generated, checked, written in one move, with a receipt; all inside one task."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from relscale.generation.admission import admit
from relscale.generation.autocomplete import autocomplete_tasks
from relscale.generation.database import Database, TaskTables
from relscale.generation.priors import Prior
from relscale.generation.writer import write_database
from relscale.platform import remote, storage
from relscale.platform.config import Config
from relscale.platform.dataflow import Receipt, peak_mb
from relscale.platform.errors import DataError, ResourceError
from relscale.platform.storage import RECEIPT

MAX_DEATHS = 4
"""Processes that may die while they make one and the same seed before the job is given up."""


class _Refused(Exception):
    """The seed gives no usable database; the message is the reason."""


def make_database(seed: int, *, out: Path, prior: Prior, config: Config, preset: str, tasks: bool) -> Receipt:
    """Generate, check and write the database of a seed under `out`, unless that is done; its receipt.

    A seed that fails or is not admitted leaves out/rejected/<seed>.json instead of a folder. Where `out` is
    an image the database goes to the store, and does not stay on this machine.

    Raises
    ------
    ResourceError : the disk or the memory does not hold it, or its process has died too often. Such a seed is
        not replaced by another one: what a corpus holds must not depend on the machine.
    """
    if done := finished_receipt(seed, out=out, prior=prior):
        return done
    folder, rejection = _places(seed, out, prior)
    _check_deaths(folder, out / "drafts")
    shutil.rmtree(folder, ignore_errors=True)
    rejection.unlink(missing_ok=True)
    started = time.perf_counter()
    receipt: Receipt = {
        "name": folder.name,
        "seed": seed,
        "prior": prior.name,
        "prior_version": prior.version,
        "preset": preset,
        "config_fingerprint": config.fingerprint(),
    }
    try:
        # The draft is there from the start: one that is left behind tells of a process that died.
        with storage.new_folder(folder, out / "drafts") as draft:
            database = replace(_generate(seed, prior, config), name=folder.name)
            receipt |= _contents(database) | _write(database, draft, folder, tasks)
            receipt |= _costs(started) | {"admitted": True, "reason": None}
            storage.write_json(draft / RECEIPT, receipt)
        remote.publish(folder, about=receipt)
        remote.drop(folder)
    except _Refused as refused:
        receipt |= _costs(started) | {"admitted": False, "reason": str(refused)}
        storage.write_json(rejection, receipt)
        remote.publish(rejection)
    except MemoryError as error:
        raise ResourceError(
            f"'{folder.name}' does not fit in the memory of its machine; use larger machines or smaller "
            "databases, and run again; what is whole is kept."
        ) from error
    return receipt


def finished_receipt(seed: int, *, out: Path, prior: Prior) -> Receipt:
    """The receipt of a seed that is done and whose files are as they were then, by their digest; else {}.

    A database on a store has it in its record, and is not read.
    """
    folder, rejection = _places(seed, out, prior)
    if sent := remote.about(folder):
        return sent
    try:
        if remote.stage_file(rejection):
            return storage.read_json(rejection)
        if remote.origin(folder):
            return {}
        receipt = storage.read_json(folder / RECEIPT)
    except DataError:  # absent or broken: to be made again
        return {}
    intact = receipt["digest"] == storage.digest_files(folder, exclude=frozenset([RECEIPT]))
    return receipt if intact else {}


def _places(seed: int, out: Path, prior: Prior) -> tuple[Path, Path]:
    return out / "databases" / f"{prior.name}-{seed}", out / "rejected" / f"{seed}.json"


def _check_deaths(folder: Path, drafts: Path) -> None:
    deaths = storage.drafts_of(folder, drafts)
    if deaths >= MAX_DEATHS:
        raise ResourceError(
            f"the process that makes '{folder.name}' has died {deaths} times, for want of memory or by a "
            "crash; use larger machines or smaller databases, and run again; what is whole is kept."
        )


def _generate(seed: int, prior: Prior, config: Config) -> Database:
    try:
        database = prior.generate(seed, config)
        reason = admit(database)
    except (MemoryError, OSError):  # the machine's fault, not the seed's
        raise
    except Exception as error:  # one seed must not end a corpus of thousands
        raise _Refused(f"generation failed: {type(error).__name__}: {error}") from error
    if reason is not None:
        raise _Refused(reason)
    return database


def _write(database: Database, draft: Path, folder: Path, tasks: bool) -> Receipt:
    started = time.perf_counter()
    completions = [TaskTables(manifest, {}) for manifest in autocomplete_tasks(database)] if tasks else []
    offered = [*completions, *database.tasks]
    with storage.writing(folder):
        write_database(database, draft, offered)
        n_bytes = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
        digest = storage.digest_files(draft)
    return {
        "n_tasks": len(offered),
        "bytes": n_bytes,
        "digest": digest,
        "write_seconds": time.perf_counter() - started,
    }


def _contents(database: Database) -> Receipt:
    """Sizes, and the columns by type: keys are left out."""
    counts = dict.fromkeys(("n_number", "n_boolean", "n_text", "n_time"), 0)
    for table in database.tables.values():
        keys = {table.pkey, *table.fkeys}
        for field in table.data.schema:
            if field.name not in keys:
                counts[_type_of(field.type)] += 1
    return {
        "tables": len(database.tables),
        "rows": database.n_rows,
        "cells": database.n_cells,
        **counts,
    }


def _type_of(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "n_boolean"
    if pa.types.is_temporal(kind):
        return "n_time"
    return "n_number" if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "n_text"


def _costs(started: float) -> Receipt:
    return {"seconds": time.perf_counter() - started, "peak_mb": round(peak_mb(), 1)}
