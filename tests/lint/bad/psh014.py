INSTALLED_APPS = ["django.contrib.auth"]
from platform_settings import proxy_header

SECURE_PROXY_SSL_HEADER = proxy_header()
