INSTALLED_APPS = ["django.contrib.auth"]
import os

if os.environ.get("CLOUD") == "azure":
    SECURE_PROXY_SSL_HEADER = ("SERVER_PORT", "443")
else:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
