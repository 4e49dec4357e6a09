"""Words for a wait: what is asked for, what the cluster has, what its autoscaler does."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from relscale.platform.progress import console, human_seconds

FIRST_SECONDS = 60.0
"""A wait is explained after so long, then when it has lasted twice as long each time."""
LONGEST_SECONDS = 600.0
"""At least every so many seconds."""
SECONDS_BETWEEN_LOOKS = 5.0


@dataclass(slots=True)
class Patience:
    """When to speak of a wait; times in seconds of one clock."""

    since: float
    """When work was last seen to go on."""
    speak_after: float = FIRST_SECONDS

    def went_on(self, now: float) -> None:
        """Work went on."""
        self.since, self.speak_after = now, FIRST_SECONDS

    def is_due(self, now: float) -> bool:
        """Whether to speak now; once for each time that is due."""
        if now - self.since < self.speak_after:
            return False
        self.speak_after += min(self.speak_after, LONGEST_SECONDS)
        return True


def waiting_sentence(asked: str, has: str, doing: str) -> str:
    """One line about a wait: for what, what there is, and what is done about it."""
    return f"{asked}; the cluster has {has}; {doing or 'no node is being started'}."


def say(sentence: str) -> None:
    """One line, above a progress bar if there is one."""
    console.print(sentence, style="yellow", soft_wrap=True, markup=False)


@contextlib.contextmanager
def watchdog(asked: str) -> Iterator[Callable[[], None]]:
    """Explain waits while the block runs; yields what to call whenever work is done."""
    patience = Patience(since=time.monotonic())
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            now = time.monotonic()
            if patience.is_due(now):
                explain(f"nothing finished for {human_seconds(now - patience.since)}: {asked}")

    thread = threading.Thread(target=watch, name="relscale-watchdog", daemon=True)
    thread.start()
    try:
        yield lambda: patience.went_on(time.monotonic())
    finally:
        ended.set()
        thread.join()


def explain(asked: str) -> None:
    """Say what is asked for, what the connected cluster has, and what its autoscaler does about it.

    Says nothing while all that was asked for has its place, however long it takes.
    """
    import ray

    from relscale.platform.autoscaling import read_activity, read_cluster

    activity = read_activity()
    idle = ray.available_resources().get("CPU", 0) >= ray.cluster_resources().get("CPU", 0)
    if activity.waiting or idle:
        say(waiting_sentence(asked, read_cluster().sentence, activity.sentence))
