"""The optimizers.

Sources. AdamW: PluRel (arXiv:2602.04029), which decays every parameter, norms and biases included. Muon:
Jordan et al. 2024 as RT-J uses it, with updates scaled by 0.2 sqrt(max(m, n)) (Moonlight, arXiv:2502.16982),
so that AdamW's rates and decay serve both.
"""

import torch
from torch.optim import AdamW, Muon, Optimizer

from relscale.model.config import TrainingConfig


def build_optimizers(network: torch.nn.Module, training: TrainingConfig) -> list[Optimizer]:
    """What moves the trained parameters of a network, each parameter in one of them.

    With "muon" the matrices of the blocks belong to Muon (momentum 0.95, Nesterov, 5 Newton-Schulz steps);
    encoders, decoders, norms and mask embeddings belong to AdamW, as all do otherwise.
    """
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    rate, decay = training.learning_rate, training.weight_decay
    matrices = []
    if training.optimizer == "muon":
        names = [name for name, p in parameters.items() if name.startswith("blocks.") and p.ndim == 2]
        matrices = [parameters.pop(name) for name in names]
    optimizers: list[Optimizer] = [
        AdamW(list(parameters.values()), lr=rate, betas=(0.9, 0.999), weight_decay=decay, fused=True)
    ]
    if matrices:
        optimizers.append(Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return optimizers
