"""`prag demo`: the story of two countries and a hub, told and checked step by step on real processes."""

from prag.demo.telling import run

__all__ = ["run"]
