INSTALLED_APPS = ["django.contrib.auth"]
ASGI_APPLICATION = "project.asgi:application"
