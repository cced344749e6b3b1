"""Turns the parts of a submission, as they stream in, into a workflow, its parameters and a stored file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from app.domain.errors import FieldProblem, Invalid, Malformed, TooLarge, UnsupportedMediaType
from app.domain.models import FilePart, FileUploadInfo, JobId, Json, ParamPart
from app.domain.protocols import FileStore
from app.domain.workflow import Workflow

DEFAULT_WORKFLOW = "n8n_notion"


@dataclass(slots=True)
class Intake:
    """One submission being received. What it stored is removed again when it is refused."""

    job_id: JobId
    files: FileStore
    workflows: Mapping[str, Workflow]
    max_size: int
    params: dict[str, Json] = field(default_factory=dict)
    file: FileUploadInfo | None = None

    async def receive(self, parts: AsyncIterator[ParamPart | FilePart]) -> Workflow:
        """Reads all parts and gives the workflow; `params` and `file` are then what it accepts.

        Raises Malformed, TooLarge, UnsupportedMediaType, Invalid, and what the file store raises.
        """
        try:
            async for part in parts:
                if isinstance(part, FilePart):
                    await self._take_file(part)
                else:
                    self._take_param(part)
            return self._checked()
        except BaseException:
            if self.file is not None:
                await self.files.remove(self.job_id)
            raise

    async def _take_file(self, part: FilePart) -> None:
        if self.file is not None:
            raise Malformed("the form has two files; a job takes one")
        limit = self.max_size
        if "workflow" in self.params:  # it came first, so its own limit can end the upload early
            rules = self._workflow().file
            limit = min(limit, rules.max_size) if rules else 0
            if rules is None:
                raise Invalid("this workflow takes no file", [FieldProblem("file", "this workflow takes no file")])
        self.file = await self.files.save(self.job_id, part.filename, part.chunks, limit)

    def _take_param(self, part: ParamPart) -> None:
        if part.name in self.params:
            raise Invalid("a field was sent twice", [FieldProblem(part.name, "was sent twice")])
        self.params[part.name] = part.value

    def _workflow(self) -> Workflow:
        name = self.params.get("workflow", DEFAULT_WORKFLOW)
        workflow = self.workflows.get(name) if isinstance(name, str) else None
        if workflow is None:
            known = ", ".join(sorted(self.workflows))
            raise Invalid("there is no such workflow", [FieldProblem("workflow", f"unknown; there are: {known}")])
        return workflow

    def _checked(self) -> Workflow:
        workflow = self._workflow()
        self._check_file(workflow)
        self.params = dict(workflow.check({key: value for key, value in self.params.items() if key != "workflow"}))
        return workflow

    def _check_file(self, workflow: Workflow) -> None:
        rules, file = workflow.file, self.file
        if rules is None and file is not None:
            raise Invalid("this workflow takes no file", [FieldProblem("file", "this workflow takes no file")])
        if rules is None:
            return
        if file is None:
            raise Malformed("there is no part named `file`; this workflow wants one")
        if file.size > rules.max_size:
            raise TooLarge(f"the file is larger than {rules.max_size} bytes")
        if not rules.takes(file.media_type):
            wanted = ", ".join(rules.media_types)
            raise UnsupportedMediaType(f"the content is {file.media_type}; this workflow takes {wanted}")
