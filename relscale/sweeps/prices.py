"""What a planned study costs: hours of its stages times the price of an hour."""

from dataclasses import dataclass

from relscale.platform.errors import ConfigError
from relscale.sweeps.budget import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Dollars for an hour of one CPU, and of one GPU with the CPUs beside it; None where none is stated."""

    cpu: float | None = None
    gpu: float | None = None


def dollars(plan: Plan, prices: Prices) -> dict[str, float]:
    """{stage: dollars}; of the machines that work, for the time that they work.

    Making databases and stores takes CPUs, a trial the GPUs of its workers, or their CPUs where it has none.

    Raises
    ------
    ConfigError : a price is missing for what the study uses.
    """
    trial = plan.needs.n_workers * (plan.needs.gpus or plan.needs.cpus)
    of_trial = ("gpu", prices.gpu) if plan.needs.gpus else ("cpu", prices.cpu)
    stages = {
        "generate": (1, "cpu", prices.cpu),
        "tokenize": (1, "cpu", prices.cpu),
        "train": (trial, *of_trial),
        "score": (trial, *of_trial),
    }
    cost = {}
    for stage in plan.stages:
        n_devices, device, price = stages[stage.name]
        if price is None:
            raise ConfigError(
                f"the stage '{stage.name}' takes {device.upper()}s, and no price of theirs is given; add "
                f"--{device}-price, in dollars for an hour of one {device.upper()}."
            )
        cost[stage.name] = stage.hours * n_devices * price
    return cost
