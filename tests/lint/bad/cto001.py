INSTALLED_APPS = ["django.contrib.auth"]
CSRF_TRUSTED_ORIGINS = ["https://example.com/"]
