"""A loss that is not finite: which context made it so."""

import torch

from relscale.model.config import TrainingConfig
from relscale.model.feed import Feed
from relscale.model.items import ItemSequence
from relscale.model.network import RelationalTransformer
from relscale.model.objective import objective
from relscale.model.workers import Workers, is_spread


def not_finite(
    step: int,
    feed: Feed,
    items: ItemSequence,
    network: RelationalTransformer,
    training: TrainingConfig,
    workers: Workers,
) -> str:
    """The sentence about a step whose loss or gradient is not finite; every worker calls this.

    Each context of the step is computed again, alone, until one is found; that is not possible where the
    network is spread over the workers, which must compute in step.
    """
    own = 0 if is_spread(network) else _offender(step, feed, network, training) + 1
    found = workers.total([own if rank == workers.rank else 0 for rank in range(workers.size)])
    numbers = [int(number) - 1 for number in found if number]
    where = f" (first {_address(numbers[0], items)})" if numbers else ""
    batch = feed.batch_numbers(step)
    return (
        f"the loss or its gradient is not finite at step {step}, items {batch[0]} to {batch[-1]} of the run"
        f"{where}; lower training.learning_rate, or look for extreme values there."
    )


def _offender(step: int, feed: Feed, network: RelationalTransformer, training: TrainingConfig) -> int:
    """Number of the first item of this worker's share that has no finite loss and gradient; -1: none."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    for number in feed.item_numbers(step):
        batch = feed.tensors(feed.contexts(range(number, number + 1), feed.sampler(step)))
        with torch.autocast(batch.value.device.type, torch.bfloat16, enabled=training.precision == "bf16"):
            prediction = network(batch)
        loss = objective(prediction, batch)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        if not all(bool(torch.isfinite(part).all()) for part in (loss, *gradients) if part is not None):
            return number
    return -1


def _address(number: int, items: ItemSequence) -> str:
    """Where the predicted cell of an item is."""
    item = items.locate(number, 1)
    database = items.store.database(items.names[int(item.database[0])])
    column, node = database.columns[int(item.column[0])], int(item.node[0])
    table = next(t for t in database.tables if t.offset <= node < t.offset + t.n_rows)
    return (
        f"item {number}: column '{column.name}' of row {node - table.offset} of table '{table.name}' of "
        f"database '{database.name}'"
    )
