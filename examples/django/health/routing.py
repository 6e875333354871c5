from django.urls import path

from .consumers import HealthConsumer

# With the slash: APPEND_SLASH does not exist for WebSockets, a path without a route is an error 500.
websocket_urlpatterns = [path("ws/health/", HealthConsumer.as_asgi())]
