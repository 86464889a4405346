"""What intake's API receives and returns, a module per aggregate.

Every field has a data class, so that a lint and a reader can see what must be sealed:

P0  who or where a person is: names, birth date, address, place, contact, documents
P1  free text, in which anything may stand, health and suspicions included
P2  a fact of the case as a code, id, date, number or yes and no
P3  an aggregate

A field says so as `x-data-class` in its schema; one that says nothing is P2. A string that is
neither a code nor an id must say P0 or P1.
"""
