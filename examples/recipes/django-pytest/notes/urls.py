from django.http import HttpResponse
from django.urls import path

from notes.models import Note


def add(_request, body):
    Note.objects.create(body=body)
    return HttpResponse(str(Note.objects.count()))


urlpatterns = [path("add/<body>", add)]
