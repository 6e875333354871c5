from django.http import HttpResponse
from django.urls import path

# An ordinary page. While SECURE_PROXY_SSL_HEADER is wrong, a browser that opens it is redirected to where it is, for ever.
urlpatterns = [path("", lambda request: HttpResponse("hello\n", content_type="text/plain"))]
