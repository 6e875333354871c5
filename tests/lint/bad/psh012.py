INSTALLED_APPS = ["django.contrib.auth"]
import os

DEBUG = os.environ.get("DEBUG") == "1"
if not DEBUG:
    SECURE_SSL_REDIRECT = True
