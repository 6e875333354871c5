INSTALLED_APPS = ["django.contrib.auth"]
import os

SECURE_PROXY_SSL_HEADER = tuple(os.environ["PROXY_SSL_HEADER"].split(","))
