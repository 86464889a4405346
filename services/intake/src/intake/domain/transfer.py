"""When a person's data and her case may go to the other country of a referral.

Source: domain.md section 4, the states of a referral across the border and their guards.
"""

from typing import Final

from common.errors import ConflictError

SENT: Final = "SENT"
"""The direction of a referral in the country that has the case; RECEIVED in the other."""
RECEIVED: Final = "RECEIVED"

RELEASABLE: Final = frozenset({"ACCEPTED", "TRANSFER_PLANNED", "IN_TRANSFER", "ARRIVED"})
"""Statuses in which the other country has taken the person on and may be told who she is."""
ARRIVED: Final = "ARRIVED"
ERASING: Final = frozenset({"CONSENT_WITHDRAWN", "CANCELLED", "EXPIRED", "DECLINED", "FAILED"})
"""Statuses after which whoever was told of the person keeps only the fact and the date."""

AWAITED: Final = frozenset({"CONSENT_WITHDRAWN", "CANCELLED", "FAILED"})
"""Those in which data may have come, and the sender waits for the word that nothing is left."""


def require_releasable(status: str) -> None:
    """Refuse to let data go before the acceptance or after the end: ConflictError `transfer.not_open`."""
    if status not in RELEASABLE:
        raise ConflictError("transfer.not_open")


def require_givable(status: str, *, is_released: bool) -> None:
    """Refuse to give the case before the person is there, or while there is nothing to take.

    ConflictError `transfer.not_arrived` or `package.not_released`.
    """
    if status != ARRIVED:
        raise ConflictError("transfer.not_arrived")
    if not is_released:
        raise ConflictError("package.not_released")
