INSTALLED_APPS = ["django.contrib.auth"]
SECURE_PROXY_SSL_HEADER = None
