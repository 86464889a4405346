"""The database of one service: one model, two engines, one way to write."""

from common.db.base import OUTAGE, Database
from common.db.opening import open_database

__all__ = ["OUTAGE", "Database", "open_database"]
