INSTALLED_APPS = ["django.contrib.auth"]
import environ

env = environ.Env()
SECURE_PROXY_SSL_HEADER = env("PROXY_SSL_HEADER", default=None)
