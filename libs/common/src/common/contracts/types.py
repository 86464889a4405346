"""The string types a payload may use. Each has a pattern no sentence, name or address fits."""

from typing import Annotated

from pydantic import Field, StringConstraints

Code = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=40)]
"""A code of a code list. Not an enum: a consumer of an older release must take a newer code."""

Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$", max_length=2)]
"""ISO 3166-1 alpha-2, plus the user-assigned XK."""

AgeGroup = Annotated[
    str, StringConstraints(pattern=r"^([0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}\+|UNKNOWN)$", max_length=8)
]
"""A band of whole years of age, as `12-17` or `35+`, or UNKNOWN. Never an age."""

Epoch = Annotated[int, Field(ge=1, le=1_000_000)]
"""Under which the ownership of a case is said to be one country's. It rises by 1 or 2 with each
handover; a number above this is no honest country's."""

RuleVersion = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z_]*\.[0-9]{4}-[0-9]{1,3}$", max_length=40)
]
"""Which edition of a rule table decided, as `identification.2026-1`."""

SubjectId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)
]
"""The `sub` of a worker's token: an opaque id. An address with @ does not fit."""

SealedPackage = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9a-f]{32}\.[A-Za-z0-9+/]+={0,2}$", min_length=5000, max_length=92_000
    ),
]
"""A person's data sealed to another country's register: the id of the key, and base64. Filled up to
4, 16 or 64 KiB before it was sealed, so no word is short enough to stand in its place."""
