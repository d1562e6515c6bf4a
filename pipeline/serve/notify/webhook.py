"""Webhooks: every event as a signed POST, tried again until it is taken.

Messages and signatures follow Standard Webhooks (https://www.standardwebhooks.com), for which receivers find libraries
in most languages.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import random
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr
from standardwebhooks import Webhook as Signer

from pipeline.config import Names
from pipeline.serve.notify.messages import Moment, to_message
from pipeline.serve.notify.outbox import Message, Outbox
from pipeline.serve.secrets import Secret
from pipeline.serve.types import Event

TIMEOUT = 10.0
"""Seconds that a receiver has to answer."""
WAITS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
"""Seconds before the next try, the last one again and again; each up to a quarter longer or shorter by chance."""
GIVE_UP = 24 * 3600.0
"""Seconds after which a message that nobody took is dropped."""

_LEAST_KEY = 24  # bytes, as Standard Webhooks asks for

_LOG = logging.getLogger(__name__)


def _check_secret(secret: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_") + "==", validate=False)
    except binascii.Error:
        key = b""
    if len(key) < _LEAST_KEY:
        raise ValueError("a secret is 'whsec_' and base64 of 24 bytes or more: echo whsec_$(openssl rand -base64 32)")
    return secret


def _check_url(secret: SecretStr) -> SecretStr:
    try:
        url = httpx.URL(secret.get_secret_value())
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("a webhook is an http:// or https:// URL")
    return secret


class WebhookConfig(BaseModel):
    """Who is told about events of these rules, cameras and labels (none: of all). Many a `url` holds a token."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[Secret, AfterValidator(_check_url)]
    secret: Annotated[Secret, AfterValidator(_check_secret)]
    rules: Names = ()
    cameras: Names = ()
    labels: Names = ()

    def wants(self, event: Event) -> bool:
        asked = ((self.rules, event.rule), (self.cameras, event.camera), (self.labels, event.label))
        return all(not wanted or value in wanted for wanted, value in asked)


class Webhooks:
    """Puts what is to be told into the outbox, and delivers what is in it. Each hook may have a thread of its own.

    Args:
        hooks: by the name that the outbox and the log know them by.
    """

    def __init__(self, hooks: Mapping[str, WebhookConfig], outbox: Outbox) -> None:
        self._hooks = hooks
        self._outbox = outbox
        self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=False)
        if dropped := outbox.keep_only(list(hooks)):
            _LOG.warning("%d notifications to webhooks that are configured no more were dropped", dropped)

    def tell(self, moment: Moment, event: Event, now: float) -> None:
        """Queues a message to every hook that wants the event; `now` in seconds of the epoch."""
        body = json.dumps(to_message(moment, event), ensure_ascii=False)
        for name, hook in self._hooks.items():
            if hook.wants(event):
                self._outbox.put(name, f"{event.id}.{moment}", body, now)

    @property
    def names(self) -> list[str]:
        return list(self._hooks)

    def deliver(self, name: str, now: float, stop: threading.Event) -> int:
        """Sends what is due to one hook, the oldest first, until `stop` is set or it does not take a message.

        Returns: how many messages were taken.
        """
        hook, taken = self._hooks[name], 0
        if lost := self._outbox.drop(name, now - GIVE_UP):
            _LOG.error("webhook %s: %d messages are dropped, which nobody took for a day", name, lost)
        for message in self._outbox.due(name, now):
            if stop.is_set():
                break
            status, reason = self._post(hook, message, now)
            if status is not None and httpx.codes.is_success(status):
                self._outbox.remove(message)
                taken += 1
                continue
            self._try_later(name, message, now, reason, gone=status == httpx.codes.GONE)
            break
        return taken

    def close(self) -> None:
        self._client.close()

    def _post(self, hook: WebhookConfig, message: Message, now: float) -> tuple[int | None, str]:
        """The status of the answer, None if there was none, and both in words."""
        signer = Signer(hook.secret.get_secret_value())
        headers = {
            "content-type": "application/json",
            "user-agent": "onsight",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": signer.sign(message.id, datetime.fromtimestamp(int(now), UTC), message.body),
        }
        url = hook.url.get_secret_value()
        try:
            with self._client.stream("POST", url, content=message.body.encode(), headers=headers) as answer:
                return answer.status_code, f"it answered {answer.status_code}"
        except httpx.HTTPError as error:
            return None, type(error).__name__

    def _try_later(self, name: str, message: Message, now: float, reason: str, gone: bool) -> None:
        where = f"webhook {name} ({httpx.URL(self._hooks[name].url.get_secret_value()).host})"
        if gone:
            _LOG.error("%s never took %s: %s", where, message.id, reason)
            self._outbox.remove(message)
            return
        wait = WAITS[min(message.tries, len(WAITS) - 1)] * random.uniform(0.75, 1.25)
        _LOG.warning("%s did not take %s: %s; again in %.0f s", where, message.id, reason, wait)
        self._outbox.postpone(message, now + wait)
