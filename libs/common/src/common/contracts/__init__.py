"""Payloads others may rely on: one module per publishing service, one class per event type.

Within a version only optional fields are added; anything else is a new version beside the old one.
`tests/contracts` compares each class with its snapshot and refuses a field that could hold a text.
"""
