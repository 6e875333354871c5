INSTALLED_APPS = ["django.contrib.auth"]
import os

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO") if os.environ.get("CLUSTER") else {"HTTP_X_FORWARDED_PROTO", "https"}
