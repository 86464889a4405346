"""Invented cases that a new instance begins with, told to its own API one by one."""
