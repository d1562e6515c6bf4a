"""The hub of live pictures, with its own event loop and no server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import cv2
import numpy as np
import pytest
from support.serving import picture, shown

from pipeline.serve.live import Full, Live
from pipeline.serve.shot import Picture, Shot

PATIENCE = 5.0


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*arguments: Any, **keywords: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **keywords), PATIENCE))

    return run


@pytest.fixture
def encodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the shots that were encoded."""
    numbers: list[int] = []
    encode = Shot._encode

    def count(shot: Shot, width: int, quality: int) -> Picture:
        numbers.append(shot.number)
        return encode(shot, width, quality)

    monkeypatch.setattr(Shot, "_encode", count)
    return numbers


def live_of_any_rate(**values: Any) -> Live:
    return Live(rate=1e9, **values)


def read(shot: Picture) -> tuple[dict[str, Any], np.ndarray]:
    length = int.from_bytes(shot.message[:2], "big")
    assert shot.message[2 + length :] == shot.jpeg
    return json.loads(shot.message[2 : 2 + length]), cv2.imdecode(np.frombuffer(shot.jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_nothing_is_kept_or_encoded_while_nobody_watches(encodes: list[int]) -> None:
    live = live_of_any_rate()
    live.publish("gate", shown(picture()))
    assert live._feeds == {}
    assert encodes == []


@on_a_loop
async def test_a_viewer_gets_the_picture_and_what_it_is() -> None:
    live = live_of_any_rate()
    with live.viewer() as viewer:
        viewer.watch({"gate"})
        item = shown(picture(3))
        live.publish("gate", item)
        (got,) = await viewer.take()
        header, image = read(got)
        assert (header["camera"], header["width"], header["height"]) == ("gate", 128, 72)
        assert np.abs(image.astype(int) - item.image).mean() < 4


@on_a_loop
async def test_the_pipeline_may_use_its_image_again() -> None:
    live = live_of_any_rate()
    with live.viewer() as viewer:
        viewer.watch({"gate"})
        image = np.full((72, 128, 3), 200, np.uint8)
        live.publish("gate", shown(image))
        image[:] = 0
        (got,) = await viewer.take()
        assert read(got)[1].mean() > 190


@on_a_loop
async def test_many_viewers_share_one_encode(encodes: list[int]) -> None:
    live = live_of_any_rate()
    viewers = [live.viewer() for _ in range(20)]
    for viewer in viewers:
        viewer.__enter__()
        viewer.watch({"gate"})
    live.publish("gate", shown(picture()))
    got = await asyncio.gather(*(viewer.take() for viewer in viewers))
    assert len(encodes) == 1
    assert len({id(one) for (one,) in got}) == 1


@on_a_loop
async def test_a_slow_viewer_gets_the_newest_and_nothing_else_is_encoded(encodes: list[int]) -> None:
    live = live_of_any_rate()
    with live.viewer() as viewer:
        viewer.watch({"gate"})
        for number in range(50):
            live.publish("gate", shown(picture(number)))
        (got,) = await viewer.take()
        assert read(got)[0]["number"] == 50
        assert encodes == [50]
        assert await viewer.take(0.01) == []


@on_a_loop
async def test_no_further_picture_comes_until_the_last_has_arrived() -> None:
    live = live_of_any_rate()
    with live.viewer() as viewer:
        viewer.watch({"gate", "yard"})
        live.publish("gate", shown(picture(1)))
        assert [got.camera for got in await viewer.take()] == ["gate"]
        live.publish("gate", shown(picture(2)))
        live.publish("yard", shown(picture(3)))
        assert [got.camera for got in await viewer.take()] == ["yard"]
        viewer.release("gate")
        assert [got.camera for got in await viewer.take()] == ["gate"]


@on_a_loop
async def test_a_viewer_is_woken_from_another_thread() -> None:
    live = live_of_any_rate()
    with live.viewer() as viewer:
        viewer.watch({"gate"})
        waiting = asyncio.create_task(viewer.take())
        await asyncio.sleep(0)
        await asyncio.to_thread(live.sink("gate").write, shown(picture()))
        assert [got.camera for got in await waiting] == ["gate"]


@on_a_loop
async def test_what_nobody_watches_any_more_is_forgotten() -> None:
    live = live_of_any_rate()
    with live.viewer() as viewer:
        viewer.watch({"gate", "yard"})
        assert live.watching == {"gate": 1, "yard": 1}
        viewer.watch({"yard"})
        live.publish("gate", shown(picture()))
        assert await viewer.take(0.01) == []
        assert live.watching == {"yard": 1}
    assert live._feeds == {}
    assert live.watching == {}


@on_a_loop
async def test_the_rate_is_capped() -> None:
    live = Live(rate=0.001)
    with live.viewer() as viewer:
        viewer.watch({"gate"})
        live.publish("gate", shown(picture(1)))
        assert len(await viewer.take()) == 1
        viewer.release("gate")
        live.publish("gate", shown(picture(2)))
        assert await viewer.take(0.01) == []


@on_a_loop
async def test_wide_pictures_are_made_smaller() -> None:
    live = live_of_any_rate(width=64)
    with live.viewer() as viewer:
        viewer.watch({"gate"})
        live.publish("gate", shown(picture()))
        (got,) = await viewer.take()
        assert read(got)[1].shape == (36, 64, 3)


@on_a_loop
async def test_no_more_watch_than_may() -> None:
    live = live_of_any_rate(viewers=1)
    with live.viewer(), pytest.raises(Full):
        live.viewer()
    with live.viewer():
        pass


@on_a_loop
async def test_the_end_sends_everybody_away() -> None:
    live = live_of_any_rate()
    with live.viewer() as viewer:
        viewer.watch({"gate"})
        waiting = asyncio.create_task(viewer.take())
        await asyncio.sleep(0)
        live.end()
        assert await waiting == []
        assert live.ended
    with pytest.raises(Full):
        live.viewer()


def test_publishing_after_the_loop_has_ended_is_harmless() -> None:
    live = live_of_any_rate()

    @on_a_loop
    async def watch() -> None:
        live.viewer().__enter__().watch({"gate"})

    watch()
    live.publish("gate", shown(picture()))
    live.end()
