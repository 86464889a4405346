"""What may be put into the dashboard's form."""

import pytest

from common import messages
from tests.kit import Kit

PAGE = "/dashboard"


@pytest.mark.parametrize(
    "token", ["€", "Милица", "a.b.c; Path=/", "a\r\nSet-Cookie: b", "x" * 8193]
)
async def test_what_can_be_no_token_is_refused_and_never_repeated(kit: Kit, token: str) -> None:
    # Fails when it reaches a header: an error of ours, or a name kept by the browser.
    answer = await kit.stranger().post(f"{PAGE}?language=en", data={"token": token})

    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert messages.text("unauthorized", "en") in answer.text
    assert token not in answer.text
