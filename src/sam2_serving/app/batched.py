"""`/smart_segmentation_batch` and `_batched`: many Smart Tool requests in one (contract 3.2, 5.2).

Each item is answered as `/smart_segmentation` would answer it. Items of one image share its
embedding and go through the decoder together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import Field, StrictStr, ValidationError
from supervisely.sly_logger import logger

from sam2_serving.app.platform.api import caller_of
from sam2_serving.app.reporting import (
    AppError,
    ReportingRoute,
    as_app_error,
    note,
    validation_sentence,
)
from sam2_serving.app.requests import Body, NullIsEmpty, Part, SmartToolRequest, SmartToolState
from sam2_serving.app.smart_tool import Question, SmartTool, SmartToolAnswer
from sam2_serving.app.workers import Workers
from sam2_serving.engine import Busy, Cancelled, CancelToken, EngineClosed

MAX_ITEMS = 10_000
IMAGES_AT_ONCE = 4


class StatesContext(Part):
    """The context of `/smart_segmentation_batch`: Smart Tool contexts in a list."""

    states: list[Any] = Field([], max_length=MAX_ITEMS)


class DataContext(Part):
    """The context of `/smart_segmentation_batched`: Smart Tool contexts under the client's keys."""

    data_to_process: dict[StrictStr, Any] = Field({}, max_length=MAX_ITEMS)


class _Batch(Body):
    state: Annotated[SmartToolState, NullIsEmpty] = SmartToolState()


class StatesRequest(_Batch):
    """The body of `/smart_segmentation_batch`."""

    context: StatesContext = StatesContext()


class DataRequest(_Batch):
    """The body of `/smart_segmentation_batched`."""

    context: DataContext = DataContext()


Item = SmartToolAnswer | None
Given = TypeVar("Given")
Result = TypeVar("Result")


def batched_router(tool: BatchedSmartTool, workers: Workers) -> APIRouter:
    """Make the router."""
    router = APIRouter(route_class=ReportingRoute)

    @router.post("/smart_segmentation_batch")
    async def smart_segmentation_batch(body: StatesRequest, request: Request) -> list[Item]:
        items = dict(enumerate(body.context.states))
        note(request, items=len(items))
        found = await workers.run(
            request, lambda cancel: tool.segment(body, items, cancel), body.token_hash
        )
        return [found[key] for key in items]

    @router.post("/smart_segmentation_batched")
    async def smart_segmentation_batched(body: DataRequest, request: Request) -> dict[str, Item]:
        items = body.context.data_to_process
        note(request, items=len(items))
        found = await workers.run(
            request, lambda cancel: tool.segment(body, items, cancel), body.token_hash
        )
        return {key: found[key] for key in items}

    return router


@dataclass(frozen=True)
class _Asked:
    key: Hashable
    question: Question


@dataclass(frozen=True)
class BatchedSmartTool:
    """Answers many Smart Tool requests at once. Thread-safe."""

    tool: SmartTool

    def segment(
        self, body: _Batch, items: Mapping[Any, Any], cancel: CancelToken
    ) -> dict[Hashable, Item]:
        """Answer all items; blocks.

        Args:
            body: whose token and settings count for all.
            items: Smart Tool contexts by the client's keys.
            cancel: gives the whole request up.

        Returns:
            By key: an answer, or None where there is no mask, or the item went wrong. The clients
            read a mask out of whatever is no None.

        Raises:
            AppError: nothing could be answered at all: no token, no model, too much work.
        """
        caller_of(body.server_address, body.api_token, self.tool.servers)
        self.tool.served.ready_engine()
        answers: dict[Hashable, Item] = dict.fromkeys(items)
        by_image: dict[Hashable, list[_Asked]] = defaultdict(list)
        with ThreadPoolExecutor(IMAGES_AT_ONCE, thread_name_prefix="batch") as pool:
            understand = _here(partial(self._understand, body, cancel))
            understood = pool.map(understand, items.values())
            for key, asked in zip(items, understood, strict=True):
                if isinstance(asked, Question):
                    by_image[asked.media.source.key, asked.refine].append(_Asked(key, asked))
                elif asked is not None and asked.bitmap is not None:
                    answers[key] = asked
            segment = _here(partial(self._segment_image, cancel))
            for found in pool.map(segment, by_image.values()):
                answers |= found
        return answers

    def _understand(
        self, body: _Batch, cancel: CancelToken, context: Any
    ) -> Question | SmartToolAnswer | None:
        if cancel.cancelled:
            raise Cancelled("The request was given up.")
        try:
            request = SmartToolRequest.model_validate(
                {
                    "context": context,
                    "state": body.state,
                    "api_token": body.api_token,
                    "server_address": body.server_address,
                }
            )
            return self.tool.understand(request)
        except ValidationError as error:
            _log_failure(validation_sentence(error.errors()))
        except Exception as error:
            _log_failure(str(as_app_error(error)))
        return None

    def _segment_image(self, cancel: CancelToken, group: Sequence[_Asked]) -> dict[Hashable, Item]:
        """Answer the items of one image; if they fail together, each is tried alone."""
        try:
            return self._ask(group, cancel)
        except (Busy, Cancelled):
            raise
        except Exception as error:
            _log_failure(str(as_app_error(error)))
            if len(group) == 1 or isinstance(error, AppError):
                return {}
        answers: dict[Hashable, Item] = {}
        for one in group:
            answers |= self._segment_image(cancel, [one])
        return answers

    def _ask(self, group: Sequence[_Asked], cancel: CancelToken) -> dict[Hashable, Item]:
        first, prompts = group[0].question, [one.question.prompts for one in group]

        def ask() -> dict[Hashable, Item]:
            engine = self.tool.served.ready_engine()
            source, answers = first.media.source, dict[Hashable, Item]()
            found = engine.segment_each(source, prompts, refine=first.refine, cancel=cancel)
            for place, result in found:
                # packed one by one: masks of a large image are large
                answer = group[place].question.answer(result)
                answers[group[place].key] = None if answer.bitmap is None else answer
            return answers

        try:
            return ask()
        except EngineClosed:
            # The model was frozen or replaced meanwhile: the one that serves now answers.
            return ask()


def _here(work: Callable[[Given], Result]) -> Callable[[Given], Result]:
    """Let other threads work in this request's context: its token stays out of the log."""
    context = copy_context()
    return lambda given: context.copy().run(work, given)


def _log_failure(sentence: str) -> None:
    logger.warning("An item of a batch has no answer", extra={"error": sentence})
