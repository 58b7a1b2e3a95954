"""The connections of one system to its providers: one client for each, opened at the first request.

A client belongs to the loop that it was made on. So each system has its own, on its own loop, and
closes them when it stops; what is under way then ends with an error.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import random
from contextlib import AsyncExitStack
from typing import Any, Final, cast

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers import Provider, infer_provider, infer_provider_class
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings

from agenticaiframework.actors import ActorSystem, SystemStopped

from ..local.server import Endpoint, local_server
from .errors import ModelNotReady
from .far_gate import FarGate
from .guarded import AnyGate, Guard, GuardedModel
from .limits import Gate
from .names import ModelName, UnknownModel, read_model_name
from .settings import default_url, is_set, provider_settings

# Enough for two paragraphs, and a bound on how long a small machine thinks about them.
LOCAL_MAX_TOKENS: Final = 160
HOSTED_TIMEOUT_S: Final = 120.0
LOCAL_TIMEOUT_S: Final = 300.0
NO_KEY: Final = "api-key-not-set"
"""What pydantic-ai gives OpenAI's client in the place of a key where a server needs none."""
ACCOUNT_HEADERS: Final = ("Authorization", "OpenAI-Organization", "OpenAI-Project")
_KEY: Final = "agenticaiframework.models"
_LOADED_LATER: Final = ("openai.resources.chat", "genai_prices.data", "genai_prices.data_units")
"""What the libraries import when it is first used, which is on the loop."""


class Clients:
    """The open providers and models of one system, or of one request (without *system*).

    One request on another loop keeps to the *limits* of the system that it belongs to.

    State belongs to the thread of the loop on which this is made.
    """

    def __init__(
        self, system: ActorSystem | None = None, limits: ActorSystem | None = None
    ) -> None:
        self._system = system
        self._limits = None if limits is None else Clients.of(limits)
        self._loop = asyncio.get_running_loop() if system is None else system.loop
        self._random = random.Random() if system is None else system.random
        self._stack = AsyncExitStack()
        self._providers: dict[tuple[Any, ...], Provider[Any]] = {}
        self._models: dict[tuple[Any, ...], GuardedModel] = {}
        self._gates: dict[str, Gate] = {}
        self._opening: dict[tuple[Any, ...], asyncio.Lock] = {}
        self._closed = False

    @classmethod
    def of(cls, system: ActorSystem) -> Clients:
        """Return the clients of *system*. Safe from any thread; the clients are for its loop."""
        found: Clients | None = system.data.get(_KEY)
        if found is None:
            made = cls(system)
            found = cast("Clients", system.data.setdefault(_KEY, made))
            if found is made:
                system.at_stop(made.close)
        return found

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that its state belongs to."""
        return self._loop

    @property
    def open_providers(self) -> int:
        """How many providers have a client here."""
        return len(self._providers)

    def gate(self, name: str, *, breaker: bool = True) -> AnyGate:
        """Return the gate of that *name* in this system."""
        if self._limits is not None:
            return FarGate(self._limits.near_gate(name, breaker=breaker), self._limits.loop)
        return self.near_gate(name, breaker=breaker)

    def near_gate(self, name: str, *, breaker: bool = True) -> Gate:
        """Return the gate of that *name*, whose state belongs to the loop; safe from any thread."""
        gate = self._gates.get(name)
        if gate is None:
            loop, system = self._loop, self._system
            gate = Gate(
                name,
                loop.time,
                loop.call_later,
                publish=None if system is None else system.publish,
                breaker=breaker,
            )
            gate = self._gates.setdefault(name, gate)
        return gate

    async def model(self, name: ModelName) -> GuardedModel:
        """Return the model of that *name*, with its provider's client opened if it was not."""
        if name.provider == "local":
            return await self._local(name.name)
        settings = provider_settings(name.service)
        key = (name.name, name.base_url or settings.base_url, settings.api_key)
        model = self._models.get(key)
        if model is None:
            provider = await self._provider(name, key[1], settings.api_key)
            model = self._models.setdefault(
                key,
                GuardedModel(_model_of(name, provider), self.guard(name), _defaults_at(provider)),
            )
        return model

    def guard(self, name: ModelName) -> Guard:
        """Return what stands before the model of that *name*."""
        service = name.service
        gates = (self.gate(f"{service}:{name.model}", breaker=False), self.gate(service))
        return Guard(gates, self._loop.time, self._random)

    def given(self, model: Model) -> GuardedModel:
        """Return *model*, an object of the user's, behind the limits that are set for its provider.

        It is the user's to open and close, and its client's retries are the only ones.
        """
        return GuardedModel(model, self._guard_if_set(model.system, model.model_name), retries=0)

    def stand_in(self, model: Model, replaced: object) -> GuardedModel:
        """Return *model*, which answers in place of *replaced*, behind the limits that are set for that.

        Its failures are retried as the provider's are, and open no breaker unless one is set.
        """
        service, name = model.system, model.model_name
        if isinstance(replaced, Model):
            service, name = replaced.system, replaced.model_name
        elif isinstance(replaced, str):
            try:
                read = read_model_name(replaced)
            except UnknownModel:
                pass  # a name that only means something to what stands in for it
            else:
                service, name = read.service, read.model
        return GuardedModel(model, self._guard_if_set(service, name))

    def _guard_if_set(self, service: str, model: str) -> Guard:
        gates: tuple[AnyGate, ...] = ()
        if is_set(service):
            gates = (self.gate(f"{service}:{model}", breaker=False), self.gate(service))
        return Guard(gates, self._loop.time, self._random)

    async def close(self) -> None:
        """Close every client. What is under way ends with an error."""
        self._closed = True
        for gate in self._gates.values():
            gate.close()
        self._providers.clear()
        self._models.clear()
        await self._stack.aclose()

    async def _provider(
        self, name: ModelName, base_url: str | None, api_key: str | None
    ) -> Provider[Any]:
        key = (name.service, base_url, api_key)
        async with self._opening.setdefault(key, asyncio.Lock()):
            provider = self._providers.get(key)
            if provider is None:
                # Making a client reads the certificates from disk, which takes a while.
                _, made = await asyncio.to_thread(model_and_provider, name, base_url, api_key)
                provider = await self._enter(key, made)
        return provider

    async def _local(self, name: str) -> GuardedModel:
        endpoint = await local_server(name).endpoint()
        key = ("local", name, endpoint.base_url, endpoint.api_key)
        async with self._opening.setdefault(key, asyncio.Lock()):
            model = self._models.get(key)
            if model is None:
                provider = await asyncio.to_thread(_local_provider, endpoint)
                self._stack.push_async_callback(provider.client.close)
                await self._enter(key, provider)
                guard = self.guard(ModelName("local", name))
                opened = OpenAIChatModel(name, provider=provider)
                model = self._models[key] = GuardedModel(
                    opened, guard, cast("dict[str, Any]", local_settings())
                )
        return model

    async def _enter(self, key: tuple[Any, ...], provider: Provider[Any]) -> Provider[Any]:
        client = provider.client
        if hasattr(client, "max_retries"):
            client.max_retries = 0  # `retrying` decides about that
        await self._stack.enter_async_context(provider)
        if self._closed:
            await self._stack.aclose()
            raise SystemStopped(self._system.name if self._system is not None else "it")
        self._providers[key] = provider
        return provider


def import_provider(model: object) -> None:
    """Import the library of the provider of *model*, a name, with what its first request loads."""
    for name in _LOADED_LATER:
        importlib.import_module(name)
    if not isinstance(model, str):
        return
    try:
        read = read_model_name(model)
        infer_provider_class(read.name.partition(":")[0])
    except (UnknownModel, ValueError, ImportError):
        return  # the request says so


def make_provider(
    prefix: str, base_url: str | None, api_key: str | None, inline: bool = False
) -> Provider[Any]:
    """Return a provider of pydantic-ai for the names that begin with *prefix*; blocks for a moment.

    *inline*: *base_url* stood in a model's name, so that no key of the environment may go there.
    Raises `UnknownModel` for a prefix that means nothing here.
    """
    try:
        provider_class = infer_provider_class(prefix)
    except ValueError:
        base_url = base_url or default_url(prefix, os.environ)
        if base_url is None:
            raise UnknownModel(f"{prefix}:...") from None
        return OpenAICompatibleProvider(prefix, base_url=base_url, api_key=api_key)
    if inline and issubclass(provider_class, OpenAIProvider):
        assert base_url is not None
        return OpenAICompatibleProvider("openai", base_url=base_url, api_key=api_key)
    given = {"base_url": base_url or default_url(prefix, os.environ), "api_key": api_key}
    given = {key: value for key, value in given.items() if value is not None}
    if not given:
        return infer_provider(prefix)
    try:
        return provider_class(**given)
    except TypeError as error:
        raise UserError(
            f"The provider {prefix!r} takes no {' and no '.join(given)}: {error}. Make its model with "
            "pydantic-ai, and give the agent that object."
        ) from error


def model_and_provider(
    name: ModelName, base_url: str | None, api_key: str | None
) -> tuple[Model, Provider[Any]]:
    """Return the model of that *name* with a provider of its own; nothing is connected. Blocks.

    Raises `ModelNotReady` where a key or a package is missing, and `UnknownModel`.
    """
    try:
        provider = make_provider(
            name.name.partition(":")[0], base_url, api_key, name.base_url is not None
        )
        return _model_of(name, provider), provider
    except UnknownModel:
        raise UnknownModel(name.written) from None
    except Exception as error:
        why = f"{str(error).split(chr(10), 1)[0].rstrip('.')}."
        raise ModelNotReady(name.written, why) from error


def _defaults_at(provider: Provider[Any]) -> dict[str, Any]:
    """Return the settings of requests to *provider* that do not say otherwise."""
    settings: dict[str, Any] = {"timeout": HOSTED_TIMEOUT_S}
    if getattr(provider.client, "api_key", None) == NO_KEY:
        from openai import Omit

        # OpenAI's client cannot be made without a key; a server that needs none is sent none. Nor is it
        # told whose account the environment names for OpenAI itself.
        settings["extra_headers"] = dict.fromkeys(ACCOUNT_HEADERS, Omit())
    return settings


def _model_of(name: ModelName, provider: Provider[Any]) -> Model:
    if isinstance(provider, OpenAICompatibleProvider):
        return OpenAIChatModel(name.model, provider=provider)
    return infer_model(name.name, provider_factory=lambda _: provider)


def _local_provider(endpoint: Endpoint) -> OpenAIProvider:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    # The environment's proxy and its logins are for hosts elsewhere; this one is this machine.
    client = AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        http_client=DefaultAsyncHttpxClient(trust_env=False),
    )
    return OpenAIProvider(openai_client=client)


def local_settings() -> ModelSettings:
    """Return how the local model is sampled: bounded, repeatable, and not going in circles."""
    return {
        "max_tokens": LOCAL_MAX_TOKENS,
        "temperature": 0.0,
        "seed": 1,
        "timeout": LOCAL_TIMEOUT_S,
        "extra_body": {"repeat_penalty": 1.1},
    }
