"""To whom a client of Kafka may speak: to those alone who were looked at."""

from pathlib import Path

import pytest

from common.bus.base import BusRefusedError
from common.bus.kafka_login import KafkaLogin


@pytest.mark.parametrize(
    "bootstrap",
    [
        "",
        ",",
        "192.0.2.2",
        "127.0.0.1:9092,192.0.2.2",
        "127.0.0.1:9092,",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        ":9092",
        "::1:9092",
        "[::1]",
        "[:::]:9092",
        "127.0.0.1:9092, 192.0.2.2:9092",
        "SASL_PLAINTEXT://192.0.2.2:9092",
    ],
)
@pytest.mark.parametrize("ca_file", [None, Path(__file__)])
def test_what_is_not_host_and_port_is_refused(
    bootstrap: str, ca_file: Path | None, tmp_path: Path
) -> None:
    # Fails when a part is passed over here that a client then speaks to.
    (tmp_path / "password").write_text("secret")
    login = KafkaLogin(bootstrap, "intake", tmp_path / "password", ca_file)

    with pytest.raises(BusRefusedError, match=r"^PRAG_KAFKA_BOOTSTRAP must be host:port,host:port"):
        login.options()


def test_a_client_is_given_what_was_looked_at(tmp_path: Path) -> None:
    # Fails when an address of the sixth kind is torn at its first colon, or the text is handed on.
    (tmp_path / "password").write_text("secret")
    login = KafkaLogin("localhost:9092,[0:0::1]:65535", "intake", tmp_path / "password")

    assert login.options()["bootstrap_servers"] == ["localhost:9092", "[::1]:65535"]
    assert login.addresses() == [("localhost", 9092), ("::1", 65535)]
