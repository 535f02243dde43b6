"""What can be wrong with a company's data, in one small tree.

CsrdError               a NonRetryable: the same data gives the same error
├── BadRequest          the saga's input is not one this example can report on
├── UnknownCompany      no data of that company
├── BadData             a data file does not say what it must
├── IncompleteData      a data point that this report requires has gaps
├── MissingFactor       no usable electricity factor for a country with sites
├── ChangedFile         a file differs from what the step before handed over
└── AlreadyPublished    the outbox holds another report under the same id
"""

from orchestration.errors import NonRetryable

__all__ = [
    "AlreadyPublished",
    "BadData",
    "BadRequest",
    "ChangedFile",
    "CsrdError",
    "IncompleteData",
    "MissingFactor",
    "UnknownCompany",
]


class CsrdError(NonRetryable):
    """Base of what this example raises; trying again changes nothing."""


class BadRequest(CsrdError):
    """The saga's input names a period or framework that cannot be reported on."""


class UnknownCompany(CsrdError):
    """There is no data of that company."""


class BadData(CsrdError):
    """A data file is malformed; the text names file, line, value and fix."""


class IncompleteData(CsrdError):
    """A required data point has gaps; the text names site and months."""


class MissingFactor(CsrdError):
    """A country with sites has no usable factor; the text names both."""


class ChangedFile(CsrdError):
    """A file is missing or has another SHA-256 than the step before reported."""


class AlreadyPublished(CsrdError):
    """Another report of the same id is in the outbox; it is left as it is."""
