INSTALLED_APPS = ["django.contrib.auth"]
CSRF_TRUSTED_ORIGINS = ["example.com", "wss://example.com"]
