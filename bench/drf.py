"""The reference: the same create as one would write it with Django REST framework, on PostgreSQL.

A serializer, and three inserts in one transaction (case, outbox row, audit row). No token is looked
at, nothing is sealed, no key makes a repetition harmless. Served by gunicorn with one process of
threads, each with a connection of its own: `BENCH_DATABASE_URL=… gunicorn bench.drf`
"""

import os
from collections.abc import Sequence
from typing import Any

import django
from django.conf import settings
from sqlalchemy import make_url

from common.clock import new_id, utcnow


def _database(text: str) -> dict[str, Any]:
    url = make_url(text)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.database,
        "USER": url.username,
        "HOST": url.query.get("host", url.host),
        "CONN_MAX_AGE": None,  # never opened anew
    }


settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": _database(os.environ["BENCH_DATABASE_URL"])},  # noqa: TID251  its only one
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # it says how long an answer is
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)
django.setup()

# What follows can be imported only after the settings are there.
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import generics, serializers  # noqa: E402


class Case(models.Model):  # type: ignore[misc]  # Django ships no types
    id = models.UUIDField(primary_key=True)
    beneficiary_kind = models.TextField()
    sex = models.TextField()
    urgency = models.TextField()
    legal_basis = models.TextField()
    birth_date = models.TextField(null=True)
    citizenships = models.JSONField(default=list)
    languages = models.JSONField(default=list)
    occurred_at = models.DateTimeField(null=True)
    note = models.TextField(null=True)
    recorded_at = models.DateTimeField(default=utcnow)

    class Meta:
        app_label = "bench"


class Outbox(models.Model):  # type: ignore[misc]
    subject = models.UUIDField()
    type = models.TextField()
    payload = models.JSONField()
    created_at = models.DateTimeField(default=utcnow)

    class Meta:
        app_label = "bench"


class Audit(models.Model):  # type: ignore[misc]
    at = models.DateTimeField(default=utcnow)
    actor = models.TextField()
    action = models.TextField()
    object_id = models.UUIDField()

    class Meta:
        app_label = "bench"


class CaseSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    class Meta:
        model = Case
        fields: Sequence[str] = [field.name for field in Case._meta.fields]  # noqa: SLF001  as documented
        # Whether the id is taken is the insert's to say, as with the others; not a query's before it.
        extra_kwargs = {  # noqa: RUF012  as documented
            "id": {"validators": []},
            "note": {"write_only": True},
            "birth_date": {"write_only": True},
            "recorded_at": {"read_only": True},
        }


class Cases(generics.CreateAPIView):  # type: ignore[misc]
    serializer_class = CaseSerializer

    def perform_create(self, serializer: Any) -> None:  # noqa: ANN401
        given = serializer.validated_data
        told = {
            "id": str(new_id()),
            "case_id": str(given["id"]),
            "urgency": given["urgency"],
        }
        with transaction.atomic():
            # Not `save`, which asks first whether the id is there.
            serializer.instance = Case(**given)
            serializer.instance.save(force_insert=True)
            Outbox.objects.create(subject=given["id"], type="case.opened", payload=told)
            Audit.objects.create(actor="nobody", action="create", object_id=given["id"])


def readyz(_: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


urlpatterns = [path("v1/cases", Cases.as_view()), path("readyz", readyz)]


def create_tables() -> None:
    with connection.schema_editor() as editor:
        for model in (Case, Outbox, Audit):
            editor.create_model(model)
    connection.close()


create_tables()
application = get_wsgi_application()
