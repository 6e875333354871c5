INSTALLED_APPS = ["django.contrib.staticfiles", "daphne"]
ASGI_APPLICATION = "config.asgi.application"
