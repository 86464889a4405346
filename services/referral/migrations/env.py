from common.migrations import run
from referral.models import Base

run(Base.metadata)
