"""What a caller of any of the four services needs to know once: the `info.description`."""

_WORDS = """\
{purpose}

**The way of a case through the four services.** A partner reports a notice to intake
(`POST /v1/notices`); intake triages it and opens a case (`POST /v1/cases`), takes the consent
(`POST /v1/cases/{{case_id}}/consents`) and with it writes the identity and decides the
identification. Referral finds a service in the directory (`GET /v1/services`), drafts the referral
of the case (`POST /v1/referrals`), submits it, and the receiver acknowledges and accepts it. The
acceptance opens a plan in reintegration, which the receiver's case workers find in `GET /v1/plans`
and start (`POST /v1/plans/{{plan_id}}/start`); agreements and phases follow, then closure. Analytics
counts what the others told (`GET /v1/indicators/{{indicator}}`). One `case_id` names a case in all four
services; in another country the case has another.

**News travels with a short delay.** Services learn from each other by events, mostly within seconds.
A record just made in one may be answered with 404, or with `reference.unknown`, `referral.case_unknown`
or `consent.missing`, in the next: try again shortly; a refused call does not use up its Idempotency-Key.

**Tokens.** `Authorization: Bearer` and a JWT signed by the country's identity provider (in a local
trial: `prag token`). `typ` of its header is `{token_type}`, `alg` {algorithm}, `kid` a key of the provider. Claims:
`iss` and `aud` as this country has them, `sub` (opaque, the person or system), `org` (UUID of the
organisation), `role` (a code of the list `actor_roles`), optionally `client_id`, `jti`, and `iat`,
`nbf`, `exp`, with `exp` at most {minutes} minutes after `iat`. An organisation stands in the referral
directory under the id that is its `org` here. What a role may do stands with each operation
(`x-roles`); a record the caller may not know of is answered like one that is not there, with 404.

**Writing.** Every POST carries an `Idempotency-Key`, unique per act: repeated within 24 hours with
the same bytes as body, nothing happens twice; within {repeated} minutes it gets the same answer, later 409
`idempotency.already_done`: what may be read of the record by then, `GET` tells. With other bytes, 422
`idempotency.key_reused`. A key belongs to its caller: `sub`, `org`, `role` and `client_id` of the token.
Choose the `id` of what you make, where the body takes one: by it you find the record of an answer
that was lost. It is the id of one record of that service, of whatever kind: give each its own.
A change of a record names the version it was decided on: `If-Match` with the `ETag` last read, quotes
included; 412 means that it has changed since: read it again, decide again. What the service hears, of a
consent or from another country (receipts, answers, a package that was taken), raises a version too: read
a referral before each of its steps. With `validate_only=true` everything is checked and nothing is written.

**Reading.** Lists come in pages, newest first; `next` leads on, null on the last, and is good for
that list with those filters only. `GET /v1/changes` gives the events that concern the caller's
organisation, the same as on the bus (events.asyncapi.json); one cursor per service, kept for good.
It is open to {feed}.

**Errors** are RFC 9457 problems (`application/problem+json`). Decide by `code`; problem-codes.json,
beside this file, lists each with its status, its sentence and the members it may bring along; where `{{…}}`
stands in a sentence there, the answer has the member of that name of the same problem. What cannot
be read is `invalid` (in the query `query.invalid`, with its `parameter`): each fault is in `errors`, with a
code `of_a_field` and where it stands; of a parameter that stands there twice the name is all. A whole number
is written without a point: `10.0` is none. What breaks a rule is a problem with the code of that rule, which may be one `of_a_field`
too; `errors` then repeats it if one field is at fault, and says which. The name of an unknown field is not
repeated.
`detail` is a sentence in the language asked for by Accept-Language: {languages}; `sr` alone is answered
in Latin script. 503 comes with `Retry-After`; nothing was changed then. Give us the `Trace-Id` of an
answer when you ask about it.
"""


def guide(
    purpose: str,
    *,
    feed: list[str],
    languages: list[str],
    token_type: str,
    algorithm: str,
    minutes: int,
    repeated: int,
) -> str:
    """Return the description of a service with this purpose, in Markdown."""
    return _WORDS.format(
        purpose=purpose,
        feed=", ".join(feed) or "nobody",
        languages=", ".join(languages),
        token_type=token_type,
        algorithm=algorithm,
        minutes=minutes,
        repeated=repeated,
    )
