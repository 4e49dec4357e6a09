"""The loss: Huber on z-scores, cross-entropy on booleans, every context with the same weight.

Source: PluRel (arXiv:2602.04029): the mean over contexts of the mean over each context's masked cells.
Reference levels: predicting 0 for an exact N(0, 1) number costs 0.425, predicting the base rate of a
boolean its entropy, at most 0.693.
"""

import torch
from torch.nn import functional

from relscale.model.context import SemType
from relscale.model.encode import TensorBatch

HUBER_DELTA = 1.0
"""Error, in standard deviations, beyond which the loss grows linearly."""


def cell_losses(prediction: torch.Tensor, label: torch.Tensor, label_type: torch.Tensor) -> torch.Tensor:
    """float32 [M]: the loss of each masked cell.

    Parameters
    ----------
    prediction : float32 [M], z-score, or logit of "true" for a boolean.
    label : float32 [M], z-score of the hidden value; a boolean is true where it is positive.
    label_type : int64 [M], SemType; text cells are never masked.
    """
    huber = functional.huber_loss(prediction, label, reduction="none", delta=HUBER_DELTA)
    truth = (label > 0).to(prediction.dtype)
    entropy = functional.binary_cross_entropy_with_logits(prediction, truth, reduction="none")
    return torch.where(label_type == SemType.BOOLEAN, entropy, huber)


def objective(prediction: torch.Tensor, batch: TensorBatch) -> torch.Tensor:
    """The scalar that training lowers: mean over contexts of the mean over their masked cells."""
    losses = cell_losses(prediction, batch.label, batch.label_type)
    count = torch.bincount(batch.context, minlength=batch.n_contexts)
    return (losses / count[batch.context]).sum() / batch.n_contexts
