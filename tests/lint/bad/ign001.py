INSTALLED_APPS = ["django.contrib.auth"]
ALLOWED_HOSTS = ["example.com"]  # wsprobe: ignore[AH001, AH999]
