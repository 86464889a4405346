from common.migrations import run
from reintegration.models import Base

run(Base.metadata)
