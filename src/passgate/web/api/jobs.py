"""The endpoint of a host's background jobs. Not here: the rules, which are in `core.host_jobs`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from passgate.core import host_jobs
from passgate.errors import Invalid, NotFound
from passgate.web import routes
from passgate.web.api.account import Id
from passgate.web.api.shapes import SESSION, Output, format_times, operation_id, refuses
from passgate.web.guards import Peek

router = routes.endpoints(prefix="/api/v1", tags=["jobs"], generate_unique_id_function=operation_id)


class Job(Output):
    id: str
    kind: Annotated[str, Field(description="The function's name")]
    state: Literal["PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE"]
    attempts: Annotated[int, Field(description="How often it has begun")]
    result: Annotated[Any, Field(description='What the function returned; after FAILURE `{"error": …}`, an exception')]
    created_at: str
    ended_at: str | None


@router.get(
    "/jobs/{id}",
    responses=refuses(*SESSION, NotFound, Invalid),
    response_model=Job,
    name="show",
    summary="Get a background job",
)
async def show(ctx: Peek, id: Id) -> Any:
    """Returns how a job goes that you started, or anybody of your tenant if you may read users. Asking doesn't extend
    the session."""
    return format_times(await host_jobs.show(ctx, id))
