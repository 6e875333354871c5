INSTALLED_APPS = ["django.contrib.auth"]
SECURE_REDIRECT_EXEMPT = ["healthz", ".*"]
