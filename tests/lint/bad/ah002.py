INSTALLED_APPS = ["django.contrib.auth"]
import os

ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "").split(",")
