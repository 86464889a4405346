from common.consent import LAW_ENFORCEMENT_KINDS
from common.http import CurrentPrincipal, router
from referral.domain import cross_border
from referral.domain.referral import REASON_LISTS, RESPONSE_POLICY, STEPS, WorkingDays
from referral.schemas.rules import CrossBorderStepRule, DeadlineRule, ReferralRules, StepRule

rules = router(prefix="/v1/referral-rules", tags=["referrals"])


@rules.get("")
async def get_referral_rules(_principal: CurrentPrincipal) -> ReferralRules:
    """Read the rules of conduct between the organisations: who may take which step, and by when.

    They are drawn from the tables the service decides by, so they cannot differ from what happens.
    Steps: the referral states of the national mechanism, cut down to one country; reasons are codes
    of the list named. Those across the border are beside them; what leads a referral on without
    anybody's step there (EXPIRED, CONSENT_WITHDRAWN, HANDED_OVER, CLOSED) is not among them. Deadlines: 24 hours in a crisis, 10 working days at most; they run from the
    submission to the decision, and an acknowledgement is no decision.
    """
    steps = [
        StepRule(
            status=status,
            step=action,
            side=side,
            leads_to=following,
            reasons=REASON_LISTS.get(action),
        )
        for status, actions in STEPS.items()
        for action, (side, following) in actions.items()
    ]
    abroad = [
        CrossBorderStepRule(
            status=status,
            step=move,
            directions=sorted(directions),
            leads_to=following,
            reasons=cross_border.REASON_LISTS.get(move),
        )
        for status, moves in cross_border.STEPS.items()
        for move, (directions, following) in moves.items()
    ]
    deadlines = [
        DeadlineRule(urgency=urgency, hours=None, working_days=allowance.days)
        if isinstance(allowance, WorkingDays)
        else DeadlineRule(
            urgency=urgency, hours=int(allowance.total_seconds()) // 3600, working_days=None
        )
        for urgency, allowance in RESPONSE_POLICY.allowances.items()
    ]
    return ReferralRules(
        policy_version=RESPONSE_POLICY.version,
        deadlines=deadlines,
        steps=steps,
        cross_border_steps=abroad,
        law_enforcement_kinds=sorted(LAW_ENFORCEMENT_KINDS),
    )
