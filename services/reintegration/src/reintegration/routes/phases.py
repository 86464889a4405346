from common.http import router
from reintegration.domain.phases import CURRENT_POLICY, PHASE_POLICIES, PhasePolicy
from reintegration.schemas import PhasePolicies, PhasePolicyRead, PhaseWindowRead

policies = router(prefix="/v1/phase-policies", tags=["phase policies"])


@policies.get("")
async def get_phase_policy() -> PhasePolicies:
    """Read the phases of a programme and their months, in every version there has been.

    Crisis intervention takes months 1 to 3, transition 4 to 12, reintegration and inclusion 13 to
    36 (TVRP). Months are counted from the day of entry by the local calendar: a phase ends the day
    before the 3rd, 12th and 36th monthly anniversary; an entry on the 29th to 31st has its
    anniversary on the last day of a shorter month. From the anniversary on a plan that is still in
    the phase is overdue.
    """
    items = [_read(policy) for policy in PHASE_POLICIES.values()]
    return PhasePolicies(current=CURRENT_POLICY.version, items=items)


def _read(policy: PhasePolicy) -> PhasePolicyRead:
    windows: list[PhaseWindowRead] = []
    first_month = 1
    for window in policy.windows:
        windows.append(
            PhaseWindowRead(
                phase=window.phase, first_month=first_month, last_month=window.last_month
            )
        )
        first_month = window.last_month + 1
    return PhasePolicyRead(version=policy.version, windows=windows)
