"""Figures are made without any person: analytics has no way to an identity (F18)."""

import ast
from pathlib import Path

import pytest

import analytics
from analytics.models import Base
from analytics.settings import Settings
from common.clock import new_id
from common.columns import SealedColumn
from common.sealing import SealError, ServiceBox, SubjectKeyRing
from common.tables import CommonBase
from tests.kit import Kit


# A table of its own with a sealed column would be the first step to keeping a person here.
@pytest.mark.row("F18")
def test_analytics_keeps_nothing_sealed_and_no_free_text() -> None:
    sealed = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, SealedColumn) or column.type.python_type is bytes
    }
    longest = {
        getattr(column.type, "length", None) or 0
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if column.type.python_type is str
    }

    assert sealed == set()
    assert max(longest) <= 40
    assert not set(Base.metadata.tables) & set(CommonBase.metadata.tables)


@pytest.mark.row("F18")
def test_no_setting_and_no_import_leads_to_another_service() -> None:
    others = ("intake", "referral", "reintegration")
    databases = {name for name in Settings.model_fields if "database" in name}
    imported = {
        name
        for path in Path(analytics.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name
    }

    assert databases == {"database_url"}
    assert not {name for name in imported if name.split(".")[0] in others}


# Fails when all services wrap with one key: a stolen row would then open anywhere.
@pytest.mark.row("F18")
async def test_the_keys_of_analytics_open_no_box_of_intake(kit: Kit) -> None:
    master, key_id = kit.runtime.master, new_id()
    wrapped, box = SubjectKeyRing(master, "intake").create(key_id)
    name = box.seal("Милица Јовановић", table="identity", row=key_id, column="name")
    answer = ServiceBox(master, "intake").seal(b"kept", place=b"x")

    with pytest.raises(SealError):
        kit.runtime.database.keys.unwrap(key_id, wrapped)
    with pytest.raises(SealError):
        kit.runtime.box.open(answer, place=b"x")

    opened = SubjectKeyRing(master, "intake").unwrap(key_id, wrapped)
    assert opened.open(name, table="identity", row=key_id, column="name") == "Милица Јовановић"
