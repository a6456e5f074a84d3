from django.http import HttpResponse
from django.templatetags.static import static
from django.urls import path


def index(request):
    return HttpResponse(f"Hello from Django, with {static('shop/site.css')}")


urlpatterns = [path("", index), path("healthz", lambda request: HttpResponse("ok"))]
