"""Load on a server: clients that ask one request after the other, each in a thread of its own."""

from __future__ import annotations

import contextlib
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import requests

Some = TypeVar("Some", bound="Clients")


@dataclass
class Clients(ABC):
    """They ask until it is over, and keep what they find."""

    url: str
    over: threading.Event = field(default_factory=threading.Event, init=False)

    @abstractmethod
    def ask(self, chance: random.Random, session: requests.Session) -> bool:
        """Ask once and check the answer; tell whether this client goes on."""

    @contextlib.contextmanager
    def by(self: Some, clients: int) -> Iterator[Some]:
        """Let so many clients ask meanwhile; what one of them raises is raised in the end."""
        with ThreadPoolExecutor(clients) as pool:
            asking = [pool.submit(self._ask_on, seed) for seed in range(clients)]
            try:
                yield self
            finally:
                self.over.set()
        for each in asking:
            each.result()

    def _ask_on(self, seed: int) -> None:
        chance = random.Random(seed)
        with requests.Session() as session:
            while not self.over.is_set() and self.ask(chance, session):
                pass
