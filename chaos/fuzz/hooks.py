"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): after each of its requests, the contract is asked too."""

from __future__ import annotations

from typing import Any

import schemathesis

from chaos.fuzz import contract


@schemathesis.check
def kept_the_contract(
    _: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """The answer is one of those that the contract has for this address, and a problem where it refuses."""
    headers = {name.lower(): ", ".join(values) for name, values in response.headers.items()}
    wrong = contract.wrong(
        case.method.upper(), case.operation.path, response.status_code, headers, response.content or b""
    )
    if wrong:
        raise AssertionError("; ".join(wrong))
