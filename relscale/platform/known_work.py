"""Nodes for work that is known: Ray Data asks the autoscaler for all of them at once.

By itself Ray Data 2.60 asks for one task's place and doubles it every ten seconds while the CPUs are busy,
so from zero nodes a job of an hour spends half of it growing.
"""

import time
from typing import TYPE_CHECKING, Any

from ray.data._internal.cluster_autoscaler import ClusterAutoscaler
from ray.data._internal.execution.execution_callback import ExecutionCallback

if TYPE_CHECKING:
    from ray.data import DataContext
    from ray.data._internal.execution.interfaces import ExecutionResources
    from ray.data._internal.execution.streaming_executor import StreamingExecutor

SETTING = "relscale.known_work"
SECONDS_BETWEEN_REQUESTS = 5.0
REQUEST_SECONDS = 20.0
"""A request that is not repeated ends. Ray Data's own last three minutes: where a driver was killed and the
same command runs again, both would count, and nodes of other groups be started for the sum."""


def ask_for(context: "DataContext", n_places: int, n_tasks: int) -> None:
    """Let the next dataset ask for so many places, and for fewer when fewer of its tasks are left."""
    context.set_config(SETTING, (n_places, n_tasks))
    context.custom_execution_callback_classes = [_Asking]


def ask_for_nothing(context: "DataContext") -> None:
    """Leave the number of nodes to Ray Data again."""
    context.custom_execution_callback_classes = []


class _Asking(ExecutionCallback):
    """Puts `_KnownWork` in the place of Ray Data's own rule."""

    def before_execution_starts(self, executor: "StreamingExecutor") -> None:
        executor._cluster_autoscaler = _KnownWork(executor, executor._cluster_autoscaler)


class _KnownWork(ClusterAutoscaler):
    """As many places as there are tasks left, up to a limit; sent the way that Ray Data sends its own."""

    def __init__(self, executor: Any, usual: Any) -> None:
        self._executor, self._usual = executor, usual
        usual._autoscaling_request_expire_time_s = REQUEST_SECONDS
        self._n_places, self._n_tasks = executor._data_context.get_config(SETTING)
        self._asked = -SECONDS_BETWEEN_REQUESTS

    def try_trigger_scaling(self) -> None:
        """Repeat the request, every few seconds; Ray Data calls this at each of its steps."""
        if time.monotonic() - self._asked < SECONDS_BETWEEN_REQUESTS:
            return
        self._asked = time.monotonic()
        (*_, last) = self._executor._topology
        n_left = self._n_tasks - last.metrics.num_tasks_finished
        place = last.min_scheduling_resources().copy(object_store_memory=0).to_resource_dict()
        bundle = {name: amount for name, amount in place.items() if amount}
        self._usual._send_resource_request([bundle] * min(self._n_places, n_left))

    def on_executor_shutdown(self) -> None:
        """Take the request back, after an error too."""
        self._usual.on_executor_shutdown()

    def get_total_resources(self) -> "ExecutionResources":
        """What Ray Data may use."""
        return self._usual.get_total_resources()
