INSTALLED_APPS = ["django.contrib.auth"]
import os

SECURE_SSL_REDIRECT = os.environ.get("SSL_REDIRECT", False)
