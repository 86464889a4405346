"""As whom and how a cluster is spoken to."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import AuthenticationFailedError, KafkaError, SaslAuthenticationFailed

from common.bus.base import BusError, BusRefusedError
from common.settings import brokers_of, is_here

REQUEST_MS = 10_000


@dataclass(frozen=True, slots=True)
class KafkaLogin:
    """Where a cluster is and as whom this service speaks to it.

    Without `ca_file` the connection is not encrypted, which is refused but on a loopback address.
    """

    bootstrap: str
    user: str
    password_file: Path
    ca_file: Path | None = None

    def options(self) -> dict[str, Any]:
        """Return what aiokafka's clients need; BusRefusedError names the setting that is wrong."""
        try:
            password = self.password_file.read_text().strip()
        except (OSError, ValueError):
            raise BusRefusedError("PRAG_KAFKA_PASSWORD_FILE", "cannot be read") from None
        return {
            "bootstrap_servers": self.servers(),
            "client_id": self.user,
            "request_timeout_ms": REQUEST_MS,
            "security_protocol": "SASL_SSL" if self.ca_file else "SASL_PLAINTEXT",
            "ssl_context": self._context(),
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": self.user,
            "sasl_plain_password": password,
        }

    def addresses(self) -> list[tuple[str, int]]:
        """Return host and port of each broker that is named; BusRefusedError if one is not told in full."""
        try:
            return brokers_of(self.bootstrap)
        except ValueError as error:
            raise BusRefusedError("PRAG_KAFKA_BOOTSTRAP", str(error)) from None

    def servers(self) -> list[str]:
        """Return the same as clients read it: nothing is left for them to fill in."""
        return [f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.addresses()]

    async def reach(self) -> AIOKafkaConnection:
        """Give a connection to a broker; BusRefusedError for a login or a certificate that will never do.

        BusError while none answers: aiokafka's clients tell both alike when they start.
        """
        plain = {k: v for k, v in self.options().items() if k != "bootstrap_servers"}
        last: Exception | None = None
        for host, port in self.addresses():
            try:
                return await create_conn(host, port, **plain)
            except (AuthenticationFailedError, SaslAuthenticationFailed):
                raise BusRefusedError(
                    "PRAG_KAFKA_USER and PRAG_KAFKA_PASSWORD_FILE", "were not accepted"
                ) from None
            except ssl.SSLCertVerificationError:
                raise BusRefusedError(
                    "PRAG_KAFKA_CA_FILE",
                    "did not issue the broker's certificate, or that is for another host than "
                    "PRAG_KAFKA_BOOTSTRAP names, or it has expired",
                ) from None
            except ssl.SSLError:
                raise BusRefusedError(
                    "PRAG_KAFKA_BOOTSTRAP", "leads to a broker that does not speak TLS 1.3"
                ) from None
            except (KafkaError, OSError) as error:
                last = error
        raise BusError(type(last).__name__) from last

    def _context(self) -> ssl.SSLContext | None:
        if self.ca_file is None:
            if all(is_here(host) for host, _ in self.addresses()):
                return None
            raise BusRefusedError(
                "PRAG_KAFKA_CA_FILE", "is needed: only a loopback address is spoken to in the clear"
            )
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError:  # of the same family as the next
            raise BusRefusedError("PRAG_KAFKA_CA_FILE", "holds no readable certificate") from None
        except OSError:
            raise BusRefusedError("PRAG_KAFKA_CA_FILE", "cannot be read") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context
